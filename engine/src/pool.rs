// SPDX-License-Identifier: MPL-2.0
//! `drbd_storage_pool`: a volume group, and a thin pool in it, from blank disks.
//!
//! It exists because the usual ways are dangerous: modules that drop disks which are not listed, or label whatever
//! carries the expected kernel name. Here a disk is labelled only when it is proven blank, or when a consent names it
//! and what it holds; disks that are not listed are left alone.

mod growth;
pub(crate) mod sound;

use crate::apply;
use crate::host::{BlockDevice, Host};
use crate::observe;
use crate::observed::Content;
use crate::plan::Plan;
use crate::record::DiskNote;
use crate::refusal::Refusal;
use crate::run::{Mode, RunError, blank_reply, commands_diff, failed};
use crate::step::{Planned, PoolDisk, Step};
use crate::thin;
use crate::tools::Family;
use crate::tools::lvm::{Filter, LogicalVolume, LvmReport};
use drbd_schemas::args::{Module, PoolState, StoragePoolArgs};
use drbd_schemas::facts::ThinPoolState;
use drbd_schemas::reply::{ActionState, Code, Reply};
use drbd_schemas::{ByteSize, VolumeNumber};

/// A disk as found.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Its path in the declaration.
    pub path: String,
    /// The kernel's description.
    pub block: Option<BlockDevice>,
    /// The physical volume that LVM sees on it: its group, if it is in one.
    pub pv: Option<Option<String>>,
    /// Its content, if it is no physical volume.
    pub content: Content,
    /// Who uses it.
    pub in_use: Option<String>,
    /// This host noted that nothing behind the disk's label counts.
    pub noted_free: bool,
    /// Bytes of the disk that its physical volume does not use.
    pub room: u64,
}

impl Disk {
    /// The disk as steps name it.
    fn named(&self) -> PoolDisk {
        let identity = self.block.as_ref().map(|block| block.identity(&self.path)).unwrap_or_default();
        PoolDisk { path: self.path.clone(), note: DiskNote { identity } }
    }
}

/// What was observed for a storage pool.
#[derive(Clone, Debug)]
pub struct ObservedPool {
    /// What `uname -n` prints.
    pub node: String,
    /// LVM.
    pub lvm: LvmReport,
    /// The declared disks.
    pub disks: Vec<Disk>,
    /// The declared disks, as LVM spells those that are physical volumes already.
    pub pv_names: Vec<String>,
    /// This host noted that the thin pool is to take the space that its disks gained.
    pub growing: bool,
    /// The disks of a group of the declared name that LVM's filters hide; looked for where it shows none.
    pub hidden: Vec<String>,
}

/// Runs `drbd_storage_pool`.
pub fn storage_pool(host: &impl Host, args: &StoragePoolArgs, mode: Mode) -> Reply {
    let mut reply = blank_reply(host, Module::DrbdStoragePool, mode);
    reply.resource = Some(args.volume_group.to_string());
    match converge(host, args, mode, reply.clone()) {
        Ok(reply) => reply,
        Err(error) => error.into_reply(reply),
    }
}

fn converge(
    host: &impl Host,
    args: &StoragePoolArgs,
    mode: Mode,
    mut reply: Reply,
) -> Result<Reply, RunError> {
    let filter = observe::lvm_filter(host)?;
    let look = |consent: &[String]| -> Result<Plan, RunError> {
        let observed = observe(host, args, &filter)?;
        Ok(plan(args, &observed, consent, &filter)?)
    };
    let plan = look(&args.consent)?;
    let name = args.volume_group.as_str();
    reply.changed = !plan.is_empty();
    reply.warnings.clone_from(&plan.warnings);
    if mode.diff {
        reply.diff.extend(commands_diff(&plan));
    }
    let what: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
    if plan.is_empty() || mode.check {
        reply.actions = apply::actions(&plan);
        reply.msg = if plan.is_empty() {
            format!("storage pool {name} is as declared.")
        } else {
            format!("storage pool {name}: would {}.", what.join(", "))
        };
        return Ok(reply);
    }
    let (actions, failure) = apply::run(host, name, &plan);
    reply.changed = actions.iter().any(|action| action.state == ActionState::Done);
    reply.actions = actions;
    if let Some(error) = failure {
        return Ok(failed(reply, &error, name));
    }
    let left = look(&[])?;
    if !left.is_empty() {
        let left: Vec<String> = left.steps.iter().map(|planned| planned.step.to_string()).collect();
        reply.failed = true;
        reply.code = Code::NotConverged;
        reply.msg = format!("every step was done, and yet this is left to do: {}.", left.join(", "));
        return Ok(reply);
    }
    reply.msg = format!("storage pool {name}: {}.", what.join(", "));
    Ok(reply)
}

/// The first thing that `drbd_storage_pool` would do or refuse, from a report that was read already; none where the pool is
/// as declared.
pub(crate) fn difference(
    host: &impl Host,
    args: &StoragePoolArgs,
    lvm: &LvmReport,
    filter: &Filter,
) -> Result<Option<String>, RunError> {
    let observed = with_report(host, args, lvm.clone())?;
    Ok(match plan(args, &observed, &[], filter) {
        Err(refusal) => Some(refusal.message),
        Ok(plan) => plan.steps.first().map(|planned| planned.step.to_string()),
    })
}

fn observe(host: &impl Host, args: &StoragePoolArgs, filter: &Filter) -> Result<ObservedPool, RunError> {
    if host.program(crate::tools::lvm::PROGRAM).is_none() {
        let message = "LVM is not installed: there is no lvm.";
        return Err(Refusal::new(Code::Environment, message).next("Install the package lvm2.").into());
    }
    if args.thin_pool.is_some() && host.program("thin_check").is_none() {
        let message = "the tools that check thin pools are not installed: there is no thin_check.";
        return Err(Refusal::new(Code::Environment, message)
            .next("Install the package thin-provisioning-tools (device-mapper-persistent-data).")
            .into());
    }
    with_report(host, args, observe::lvm_report(host, filter)?)
}

fn with_report(host: &impl Host, args: &StoragePoolArgs, lvm: LvmReport) -> Result<ObservedPool, RunError> {
    let family = observe::drbd(host)?.family().unwrap_or(Family::V9);
    let mut known = Vec::new();
    for pv in &lvm.pvs {
        if let Some(block) = host.block_device(&pv.device)? {
            known.push((block.number, pv));
        }
    }
    let mut disks = Vec::new();
    let mut pv_names = Vec::new();
    for path in &args.disks {
        let path = path.to_string();
        let block = host.block_device(&path)?;
        let pv = block.as_ref().and_then(|block| known.iter().find(|(number, _)| *number == block.number));
        pv_names.extend(pv.map(|(_, pv)| pv.device.clone()));
        let in_use = match (&block, pv) {
            (Some(block), None) => observe::device_user(host, block)?,
            _ => None,
        };
        let content = match (&block, pv, &in_use) {
            (Some(block), None, None) => observe::device_content(host, &path, block, None, family)?,
            (None, ..) => Content::NoDevice,
            _ => Content::Unreadable("it is in use".to_owned()),
        };
        let room = pv.map_or(0, |(_, pv)| growth::room(pv));
        let pv = pv.map(|(_, pv)| pv.vg.clone());
        let mut disk = Disk { path, block, pv, content, in_use, noted_free: false, room };
        let note = disk.named().note;
        disk.noted_free = host.read(&note.path())?.is_some_and(|text| note.is(&text));
        disks.push(disk);
    }
    let growing = match growth::note(args, &lvm) {
        Some(note) => host.read(&note.path())?.is_some_and(|text| note.is(&text)),
        None => false,
    };
    let hidden = hidden_disks(host, args, &lvm)?;
    Ok(ObservedPool { node: host.node_name()?, lvm, disks, pv_names, growing, hidden })
}

/// A group of this name that LVM's filters hide: a second one of that name would collide with it when they no longer do.
fn hidden_disks(host: &impl Host, args: &StoragePoolArgs, lvm: &LvmReport) -> Result<Vec<String>, RunError> {
    let group = args.volume_group.as_str();
    if args.state == PoolState::Absent || !lvm.groups(group).is_empty() {
        return Ok(Vec::new());
    }
    let all = observe::unfiltered_lvm_report(host)?;
    let of_group = all.pvs.into_iter().filter(|pv| pv.vg.as_deref() == Some(group));
    Ok(of_group.map(|pv| pv.device).collect())
}

/// Plans a storage pool. Pure.
///
/// # Errors
/// A refusal: a disk holds something, belongs elsewhere, or the pool is in use.
pub fn plan(
    args: &StoragePoolArgs,
    observed: &ObservedPool,
    consent: &[String],
    filter: &Filter,
) -> Result<Plan, Refusal> {
    match args.state {
        PoolState::Present => present(args, observed, consent, filter),
        PoolState::Absent => absent(args, observed, filter),
    }
}

fn present(
    args: &StoragePoolArgs,
    observed: &ObservedPool,
    consent: &[String],
    filter: &Filter,
) -> Result<Plan, Refusal> {
    let group = args.volume_group.as_str();
    let exists = sound::group(&observed.lvm, group, &observed.node)?.is_some();
    sound::named_once(observed)?;
    if !observed.hidden.is_empty() {
        let message = format!(
            "a volume group {group} is on {} of {}, which LVM's filter (or its file of devices) hides; a second one of that name would collide with it.",
            observed.hidden.join(", "),
            observed.node
        );
        return Err(Refusal::new(Code::Taken, message).next(
            "Choose another name, or let LVM see that disk (filter, global_filter, lvmdevices) and rename its group (vgrename).",
        ));
    }
    let mut plan = Plan::default();
    let mut new_disks = Vec::new();
    for disk in &observed.disks {
        match &disk.pv {
            Some(Some(vg)) if vg == group => {
                if disk.noted_free {
                    let step = Step::ForgetDisk { disk: disk.named() };
                    plan.steps.push(Planned::new(step, "it belongs to the group"));
                }
            }
            Some(Some(vg)) => {
                let message =
                    format!("{} on {} belongs to volume group {vg}, not {group}.", disk.path, observed.node);
                return Err(Refusal::new(Code::ForeignData, message)
                    .next("Name another disk, or free this one with vgreduce."));
            }
            // A run was cut between the label and the group, or the disk was given back.
            Some(None) if disk.noted_free => new_disks.push(disk.named()),
            Some(None) | None => {
                prepare(disk, observed, consent, &mut plan)?;
                let step = Step::CreatePv { disk: disk.named(), filter: filter.clone() };
                plan.steps.push(Planned::new(step, "the disk is blank"));
                new_disks.push(disk.named());
            }
        }
    }
    let added = exists && !new_disks.is_empty();
    if exists {
        let note = growth::to_note(args, observed);
        for disk in new_disks {
            let (name, note) = (group.to_owned(), note.clone());
            let step = Step::ExtendVg { name, disk, note, filter: filter.clone() };
            plan.steps.push(Planned::new(step, "the disk is declared for it"));
        }
    } else if new_disks.is_empty() {
        let message = format!(
            "volume group {group} does not exist on {}, and no disk is declared for it.",
            observed.node
        );
        return Err(Refusal::new(Code::Missing, message).next("Declare its disks, or create it by hand."));
    } else {
        let step = Step::CreateVg { name: group.to_owned(), disks: new_disks, filter: filter.clone() };
        plan.steps.push(Planned::new(step, "it does not exist"));
    }
    thin_pool(args, observed, filter, &mut plan)?;
    growth::metadata(args, observed, added, filter, &mut plan)?;
    growth::plan(args, observed, added, filter, &mut plan);
    Ok(plan)
}

fn thin_pool(
    args: &StoragePoolArgs,
    observed: &ObservedPool,
    filter: &Filter,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let group = args.volume_group.as_str();
    let Some(pool) = args.thin_pool.as_ref().map(|pool| pool.as_str()) else { return Ok(()) };
    match observed.lvm.lvs.iter().find(|lv| lv.vg == group && lv.name == pool) {
        Some(lv) if lv.attr.is_thin_pool() => {
            let state = thin::state(lv);
            if !matches!(state, ThinPoolState::Full | ThinPoolState::MetadataFull) {
                thin::check(lv, state, &observed.node, "Nothing is made of it as it is.")?;
            }
            plan.warnings.extend(thin::warnings(&observed.lvm, lv));
            if !lv.attr.zeroes() {
                plan.warnings.push(format!("thin pool {group}/{pool} does not zero its chunks, so new volumes are always synchronised in full"));
            }
        }
        Some(_) => {
            let message =
                format!("{group}/{pool} on {} is a logical volume, not a thin pool.", observed.node);
            return Err(Refusal::new(Code::Taken, message).next("Choose another name for the pool."));
        }
        None => {
            let name = pool.to_owned();
            let step = Step::CreateThinPool {
                volume_group: group.to_owned(),
                name,
                metadata_kib: args.thin_pool_metadata_size.map(ByteSize::kib),
                filter: filter.clone(),
            };
            plan.steps.push(Planned::new(step, "it does not exist"));
        }
    }
    Ok(())
}

/// A disk that is no physical volume yet: blank, or wiped with consent.
fn prepare(disk: &Disk, observed: &ObservedPool, consent: &[String], plan: &mut Plan) -> Result<(), Refusal> {
    let refuse =
        |code, found: &str| Refusal::new(code, format!("{} on {} {found}.", disk.path, observed.node));
    let Some(block) = &disk.block else {
        return Err(
            refuse(Code::Missing, "does not exist").next("Attach it, or name it by a path that is there.")
        );
    };
    if block.read_only {
        return Err(refuse(Code::Unreadable, "is read-only").next("Make it writable."));
    }
    if let Some(user) = &disk.in_use {
        return Err(refuse(Code::InUse, &format!("is in use: {user}")).next("Name another disk."));
    }
    let (found, kind) = match &disk.content {
        // Its group may be gone by accident, and what is behind the label wanted.
        _ if disk.pv.is_some() => ("an LVM label of no volume group".to_owned(), "LVM2_member".to_owned()),
        Content::Zeroes => return Ok(()),
        Content::Signature(what) => (what.clone(), crate::content::kind_of(what).to_owned()),
        Content::Data { offset } => {
            (format!("data without a known signature (at byte {offset})"), "data".to_owned())
        }
        Content::Metadata(md) => (format!("DRBD metadata {}", md.device_uuid), "drbd".to_owned()),
        Content::Unreadable(why) => {
            return Err(refuse(Code::Unreadable, &format!("cannot be judged: {why}")));
        }
        Content::NoDevice | Content::AttachedHere | Content::MovedMetadata { .. } => {
            return Err(refuse(Code::Unreadable, "cannot be judged"));
        }
    };
    let token = format!("overwrite:{}:{kind}", block.identity(&disk.path));
    if !consent.contains(&token) {
        return Err(refuse(Code::ForeignData, &format!("holds {found}"))
            .next("Name another disk, or look at what is on this one.")
            .next(format!("If it really may be destroyed, run again with consent: [\"{token}\"].")));
    }
    let step = Step::WipeContent {
        volume: VolumeNumber::ZERO,
        device: disk.path.clone(),
        found: found.clone(),
        consent: None,
    };
    plan.steps.push(
        Planned::new(step, "the consent names this content")
            .consequence(format!("{found} on {} is lost for good", disk.path)),
    );
    Ok(())
}

fn absent(args: &StoragePoolArgs, observed: &ObservedPool, filter: &Filter) -> Result<Plan, Refusal> {
    let group = args.volume_group.as_str();
    let mut plan = Plan::default();
    if sound::group(&observed.lvm, group, &observed.node)?.is_some() {
        let pool = args.thin_pool.as_ref().map(|pool| pool.as_str());
        let lvs = || observed.lvm.lvs.iter().filter(|lv| lv.vg == group);
        let is_pool = |lv: &&LogicalVolume| Some(lv.name.as_str()) == pool && lv.attr.is_thin_pool();
        let others: Vec<&str> = lvs().filter(|lv| !is_pool(lv)).map(|lv| lv.name.as_str()).collect();
        if !others.is_empty() {
            let message = format!(
                "volume group {group} on {} still has the volumes {}.",
                observed.node,
                others.join(", ")
            );
            return Err(Refusal::new(Code::InUse, message)
                .next("Remove what uses them first (drbd_resource, state: absent)."));
        }
        let unlisted: Vec<&str> = observed
            .lvm
            .pvs
            .iter()
            .filter(|pv| pv.vg.as_deref() == Some(group) && !observed.pv_names.contains(&pv.device))
            .map(|pv| pv.device.as_str())
            .collect();
        if !unlisted.is_empty() {
            let message = format!(
                "volume group {group} on {} has disks that are not declared: {}.",
                observed.node,
                unlisted.join(", ")
            );
            return Err(
                Refusal::new(Code::InUse, message).next("Declare them too, or remove the group by hand.")
            );
        }
        // The notes come first: after a cut, the next run knows that nothing behind these labels counts.
        for disk in observed.disks.iter().filter(|disk| in_group(disk, group) && !disk.noted_free) {
            let step = Step::ReleaseDisk { disk: disk.named() };
            plan.steps.push(Planned::new(step, "its group is to be absent; it keeps its LVM label"));
        }
        for lv in lvs().filter(is_pool) {
            let step = Step::RemoveThinPool {
                volume_group: group.to_owned(),
                name: lv.name.clone(),
                uuid: lv.uuid.clone(),
                filter: filter.clone(),
            };
            plan.steps.push(Planned::new(step, "the pool is to be absent, and no volume is in it"));
        }
        let step = Step::RemoveVg { name: group.to_owned(), filter: filter.clone() };
        plan.steps.push(Planned::new(step, "the pool is to be absent, and no volume is in it"));
    }
    Ok(plan)
}

/// The disk belongs to this group.
fn in_group(disk: &Disk, group: &str) -> bool {
    matches!(&disk.pv, Some(Some(vg)) if vg == group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::lvm::VolumeGroup;
    use serde_json::json;

    fn disk(pv: Option<Option<&str>>, content: Content, noted_free: bool) -> Disk {
        let block = BlockDevice { serial: Some("S1".into()), size_bytes: 1 << 30, ..BlockDevice::default() };
        let pv = pv.map(|vg| vg.map(str::to_owned));
        Disk { path: "/dev/sdb".into(), block: Some(block), pv, content, in_use: None, noted_free, room: 0 }
    }

    fn steps(state: &str, disk: Disk, groups: &[&str], consent: &[&str]) -> Result<Vec<String>, Refusal> {
        let args = json!({ "volume_group": "vg0", "disks": ["/dev/sdb"], "state": state });
        let args: StoragePoolArgs = serde_json::from_value(args).unwrap();
        let pv_names = disk.pv.iter().map(|_| disk.path.clone()).collect();
        let vg = |name: &&str| VolumeGroup {
            name: (*name).to_owned(),
            uuid: "u".into(),
            size_bytes: 1 << 30,
            free_bytes: 1 << 30,
            extent_bytes: 4 << 20,
            partial: false,
        };
        let lvm = LvmReport { vgs: groups.iter().map(vg).collect(), ..LvmReport::default() };
        let observed = ObservedPool {
            node: "h1".into(),
            lvm,
            disks: vec![disk],
            pv_names,
            growing: false,
            hidden: Vec::new(),
        };
        let consent: Vec<String> = consent.iter().map(|token| (*token).to_owned()).collect();
        let plan = plan(&args, &observed, &consent, &Filter::default())?;
        Ok(plan.steps.iter().map(|planned| planned.step.name().to_owned()).collect())
    }

    #[test]
    fn a_blank_disk_is_labelled_and_grouped() {
        let blank = disk(None, Content::Zeroes, false);
        assert_eq!(steps("present", blank, &[], &[]).unwrap(), ["create_pv", "create_vg"]);
    }

    #[test]
    fn a_disk_that_was_given_back_needs_no_consent() {
        let given_back = disk(Some(None), Content::Unreadable("labelled".into()), true);
        assert_eq!(steps("present", given_back.clone(), &[], &[]).unwrap(), ["create_vg"]);
        assert_eq!(steps("present", given_back.clone(), &["vg0"], &[]).unwrap(), ["extend_vg"]);
        assert!(steps("absent", given_back, &[], &[]).unwrap().is_empty());
    }

    #[test]
    fn a_label_of_somebody_else_is_foreign_until_a_consent_names_it() {
        let label = disk(Some(None), Content::Unreadable("labelled".into()), false);
        let refusal = steps("present", label.clone(), &[], &[]).unwrap_err();
        assert_eq!(refusal.code, Code::ForeignData);
        let token = "overwrite:serial:S1:LVM2_member";
        assert!(refusal.next_steps.iter().any(|next| next.contains(token)), "{refusal:?}");
        let done = steps("present", label.clone(), &[], &[token]).unwrap();
        assert_eq!(done, ["wipe_content", "create_pv", "create_vg"]);
        assert!(steps("absent", label, &[], &[]).unwrap().is_empty(), "nobody's label but ours is touched");
    }

    /// A plan of `vg0` on these disks with this report.
    fn with(disks: Vec<Disk>, lvm: LvmReport, hidden: &[&str]) -> Result<Plan, Refusal> {
        let args = json!({ "volume_group": "vg0", "disks": ["/dev/sdb"] });
        let hidden = hidden.iter().map(|path| (*path).to_owned()).collect();
        let observed =
            ObservedPool { node: "h1".into(), lvm, disks, pv_names: Vec::new(), growing: false, hidden };
        plan(&serde_json::from_value(args).unwrap(), &observed, &[], &Filter::default())
    }

    #[test]
    fn a_disk_that_is_named_twice_is_refused_before_it_is_labelled() {
        let blank = disk(None, Content::Zeroes, false);
        let again = Disk { path: "/dev/disk/by-id/s1".into(), ..blank.clone() };
        let refusal = with(vec![blank, again], LvmReport::default(), &[]).unwrap_err();
        assert_eq!(refusal.code, Code::Invalid);
        assert!(refusal.message.starts_with("/dev/sdb and /dev/disk/by-id/s1 are one disk"), "{refusal:?}");
    }

    #[test]
    fn a_group_that_shares_its_name_hidden_or_not_is_left_alone() {
        let blank = || vec![disk(None, Content::Zeroes, false)];
        let refusal = with(blank(), LvmReport::default(), &["/dev/sdq"]).unwrap_err();
        assert_eq!(refusal.code, Code::Taken);
        assert!(refusal.message.contains("is on /dev/sdq of h1, which LVM's filter"), "{refusal:?}");
        let sample = crate::tools::samples::one("lvm", "2.03.16", "report-a-full-thin-pool");
        let mut report = crate::tools::lvm::parse_report(&sample.output).unwrap();
        let twin = VolumeGroup { uuid: "other".into(), ..report.vgs[0].clone() };
        report.vgs.push(twin);
        let refusal = with(blank(), report, &[]).unwrap_err();
        assert_eq!(refusal.code, Code::Taken);
        assert!(refusal.next_steps[0].contains("vgrename"), "{refusal:?}");
    }

    #[test]
    fn a_pool_that_failed_is_not_as_declared_and_a_full_one_is_a_warning() {
        let sample = crate::tools::samples::one("lvm", "2.03.16", "report-a-full-thin-pool");
        let outcome = |attr: &str| {
            let text = sample.output.stdout.replace("twi-a-tz--", attr);
            let lvm = crate::tools::lvm::parse_report(&crate::host::Output::of(0, text, "")).unwrap();
            let args = json!({ "volume_group": "vg0", "thin_pool": "pool" });
            let (disks, pv_names, hidden) = (Vec::new(), Vec::new(), Vec::new());
            let observed = ObservedPool { node: "h1".into(), lvm, disks, pv_names, growing: false, hidden };
            plan(&serde_json::from_value(args).unwrap(), &observed, &[], &Filter::default())
        };
        assert_eq!(outcome("twi-a-tz--").unwrap().warnings, Vec::<String>::new());
        let refusal = outcome("twi-a-tzF-").unwrap_err();
        assert!(refusal.message.contains("vg0/pool has failed"), "{refusal:?}");
        assert!(refusal.next_steps.iter().any(|next| next.contains("lvconvert --repair vg0/pool")));
        let full = outcome("twi-a-tzD-").unwrap();
        assert!(
            full.is_empty() && full.warnings[0].contains("lvextend --extents +100%FREE vg0/pool"),
            "{full:?}"
        );
    }

    #[test]
    fn a_disk_is_noted_as_free_before_its_group_goes_and_only_then() {
        let used = disk(Some(Some("vg0")), Content::Unreadable("labelled".into()), false);
        assert_eq!(steps("absent", used.clone(), &["vg0"], &[]).unwrap(), ["release_disk", "remove_vg"]);
        let cut = Disk { noted_free: true, ..used.clone() };
        assert_eq!(steps("absent", cut.clone(), &["vg0"], &[]).unwrap(), ["remove_vg"]);
        assert_eq!(steps("present", cut, &["vg0"], &[]).unwrap(), ["forget_disk"]);
        assert!(steps("present", used, &["vg0"], &[]).unwrap().is_empty());
        let others = disk(Some(Some("vg1")), Content::Unreadable("labelled".into()), true);
        assert_eq!(steps("present", others, &["vg1"], &[]).unwrap_err().code, Code::ForeignData);
    }
}
