// SPDX-License-Identifier: MPL-2.0
//! Judges a backing device by its content and by what this host remembers: the metadata verdict.
//!
//! This is the gate before every `create-md`. The order of the questions matters; each has its reason beside it.

use crate::observed::{Content, Device};
use crate::record::{Phase, VolumeRecord};
use drbd_schemas::{Family, Verdict};

/// A verdict, and what the planner may conclude from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What the device holds.
    pub verdict: Verdict,
    /// A logical volume that a run of this program created and that has no metadata yet: whatever bytes LVM left in it
    /// belong to nobody. Only such a device may get metadata with `--force`.
    pub fresh: bool,
}

impl Judged {
    fn of(verdict: Verdict) -> Self {
        Self { verdict, fresh: false }
    }

    fn foreign(found: impl Into<String>, consent: Option<String>) -> Self {
        Self::of(Verdict::Foreign { found: found.into(), consent })
    }
}

/// Judges one device. `has_tag`: the logical volume carries [`crate::record::LV_TAG`].
pub fn judge(device: &Device, record: Option<&VolumeRecord>, has_tag: bool, family: Family) -> Judged {
    let Some(identity) = device.identity() else {
        return Judged::of(match &device.content {
            Content::Unreadable(why) => Verdict::Unreadable { why: why.clone() },
            _ => Verdict::Absent,
        });
    };
    if device.content == Content::AttachedHere {
        return Judged::of(Verdict::Ours);
    }
    // In use comes before content: a mounted file system that fills the device is the most telling answer, and no
    // consent can override it.
    if let Some(user) = &device.in_use {
        return Judged::foreign(format!("a device in use: {user}"), None);
    }
    let same_device = record.filter(|record| record.identity.as_ref().is_none_or(|known| *known == identity));
    judge_content(device, &identity, same_device, record, has_tag, family)
}

fn judge_content(
    device: &Device,
    identity: &str,
    same_device: Option<&VolumeRecord>,
    record: Option<&VolumeRecord>,
    has_tag: bool,
    family: Family,
) -> Judged {
    let creating = same_device.filter(|record| record.phase == Phase::Creating);
    let unfinished_lv = creating.is_some_and(|record| record.created_lv && has_tag);
    match &device.content {
        Content::Metadata(found) => {
            let ours = same_device.is_some_and(|record| record.metadata.as_ref() == Some(&found.device_uuid));
            // Cut between create-md and the note of it: the device was blank, or new, when that run began, and these
            // metadata were never used since.
            let unfinished =
                found.just_created && creating.is_some_and(|record| !record.created_lv || has_tag);
            if found.format != family.metadata_format() {
                let found =
                    format!("DRBD metadata of format {} (this host runs DRBD {family})", found.format);
                return Judged::foreign(found, None);
            }
            if ours || unfinished {
                return Judged::of(Verdict::Ours);
            }
            Judged::foreign(
                describe_stale(found.device_uuid.as_str(), record, identity),
                Some(format!("adopt:{identity}:{}", found.device_uuid)),
            )
        }
        // A logical volume that a cut run created: it has no metadata yet, and its bytes are LVM's leftovers.
        _ if unfinished_lv => Judged { verdict: Verdict::Blank, fresh: true },
        Content::MovedMetadata { device_uuid } => {
            if same_device.is_some_and(|record| record.metadata.as_ref() == Some(device_uuid)) {
                return Judged::of(Verdict::Ours);
            }
            let found = format!("DRBD metadata {device_uuid}, where it ended before it grew");
            Judged::foreign(found, None)
        }
        // Wiped with a consent by a run that was cut: what is left shows no signature and was given up.
        Content::Zeroes | Content::Data { .. }
            if creating.is_some_and(|record| record.given_up.is_some()) =>
        {
            Judged { verdict: Verdict::Blank, fresh: true }
        }
        Content::Zeroes => Judged::of(Verdict::Blank),
        Content::Signature(what) => {
            Judged::foreign(what.clone(), Some(format!("overwrite:{identity}:{}", kind_of(what))))
        }
        Content::Data { offset } => Judged::foreign(
            format!("data without a known signature (at byte {offset})"),
            Some(format!("overwrite:{identity}:data")),
        ),
        Content::Unreadable(why) => Judged::of(Verdict::Unreadable { why: why.clone() }),
        Content::NoDevice | Content::AttachedHere => Judged::of(Verdict::Absent),
    }
}

/// The kind of a signature, as a consent names it: `ext4`, `crypto_LUKS`.
pub(crate) fn kind_of(signature: &str) -> &str {
    let end = signature.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    signature.get(..end.unwrap_or(signature.len())).unwrap_or_default()
}

fn describe_stale(device_uuid: &str, record: Option<&VolumeRecord>, identity: &str) -> String {
    let base = format!("DRBD metadata {device_uuid} that this host did not write for this volume");
    match record.and_then(|record| record.identity.as_deref()) {
        Some(known) if known != identity => {
            format!("{base} (its volume was {known}, this device is {identity}: it was created anew since)")
        }
        _ => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::BlockDevice;
    use crate::observed::Metadata;

    fn device(content: Content) -> Device {
        let block = BlockDevice { serial: Some("S1".into()), size_bytes: 1 << 26, ..BlockDevice::default() };
        Device { path: "/dev/x".into(), block: Some(block), content, in_use: None }
    }

    fn metadata(uuid: &str) -> Content {
        Content::Metadata(Metadata { format: "v08".into(), device_uuid: uuid.into(), just_created: true })
    }

    fn record(phase: Phase, metadata: Option<&str>) -> VolumeRecord {
        VolumeRecord {
            path: "/dev/x".into(),
            identity: Some("serial:S1".into()),
            phase,
            created_lv: false,
            created_blank: false,
            metadata: metadata.map(str::to_owned),
            given_up: None,
        }
    }

    fn verdict(device: &Device, record: Option<&VolumeRecord>) -> Verdict {
        judge(device, record, false, Family::V84).verdict
    }

    #[test]
    fn metadata_are_ours_only_if_this_host_wrote_them_on_this_device() {
        let created = record(Phase::Created, Some("aa"));
        assert_eq!(verdict(&device(metadata("aa")), Some(&created)), Verdict::Ours);
        assert!(matches!(verdict(&device(metadata("bb")), Some(&created)), Verdict::Foreign { .. }));
        assert!(matches!(verdict(&device(metadata("aa")), None), Verdict::Foreign { .. }));
        let elsewhere = VolumeRecord { identity: Some("serial:S2".into()), ..created };
        assert!(matches!(verdict(&device(metadata("aa")), Some(&elsewhere)), Verdict::Foreign { .. }));
    }

    #[test]
    fn metadata_that_a_grown_device_left_behind_are_ours_only_if_we_wrote_them() {
        let moved = device(Content::MovedMetadata { device_uuid: "aa".into() });
        assert_eq!(verdict(&moved, Some(&record(Phase::Created, Some("aa")))), Verdict::Ours);
        for other in [Some(record(Phase::Created, Some("bb"))), None] {
            assert!(matches!(verdict(&moved, other.as_ref()), Verdict::Foreign { consent: None, .. }));
        }
    }

    #[test]
    fn a_run_cut_after_create_md_is_recognised() {
        let creating = record(Phase::Creating, None);
        assert_eq!(verdict(&device(metadata("aa")), Some(&creating)), Verdict::Ours);
        let used = Metadata { format: "v08".into(), device_uuid: "aa".into(), just_created: false };
        let used = device(Content::Metadata(used));
        assert!(matches!(verdict(&used, Some(&creating)), Verdict::Foreign { .. }));
    }

    #[test]
    fn an_lv_of_a_cut_run_is_fresh_and_a_strangers_is_not() {
        let creating = VolumeRecord { identity: None, created_lv: true, ..record(Phase::Creating, None) };
        let leftover = device(Content::Data { offset: 4096 });
        let judged = judge(&leftover, Some(&creating), true, Family::V84);
        assert_eq!(judged, Judged { verdict: Verdict::Blank, fresh: true });
        let judged = judge(&leftover, Some(&creating), false, Family::V84);
        assert!(matches!(judged.verdict, Verdict::Foreign { .. }));
        let created = VolumeRecord { phase: Phase::Created, ..creating };
        let judged = judge(&leftover, Some(&created), true, Family::V84);
        assert!(matches!(judged.verdict, Verdict::Foreign { .. }), "a finished volume is no longer fresh");
    }

    #[test]
    fn a_device_in_use_has_no_consent() {
        let mut mounted = device(Content::Signature("ext4 file system".into()));
        mounted.in_use = Some("mounted on /srv".into());
        assert!(matches!(verdict(&mounted, None), Verdict::Foreign { consent: None, .. }));
    }

    #[test]
    fn consents_name_the_device_and_what_it_holds() {
        let Verdict::Foreign { consent, .. } =
            verdict(&device(Content::Signature("ext4 file system".into())), None)
        else {
            panic!("an ext4 is foreign")
        };
        assert_eq!(consent.unwrap(), "overwrite:serial:S1:ext4");
        assert_eq!(kind_of("crypto_LUKS (UUID 1-2)"), "crypto_LUKS");
        assert_eq!((kind_of("xfs"), kind_of("")), ("xfs", ""));
    }
}
