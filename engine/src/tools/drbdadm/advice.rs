// SPDX-License-Identifier: MPL-2.0
//! What a person can do about a failure of DRBD's tools. Not here: what the program itself does about it.

use crate::tools::drbdadm::failure::{DrbdFailure, kernel_error, state_error};

impl DrbdFailure {
    /// What to do next, as a sentence.
    pub fn advice(&self) -> String {
        match self {
            Self::KernelRefused { number, .. } => kernel(*number).to_owned(),
            Self::StateChangeRefused { number, .. } => state(*number).to_owned(),
            Self::ConfigRefused(_) => {
                "Correct or remove that file; until then no drbdadm call works on this host.".to_owned()
            }
            Self::NotConfigured(name) => {
                format!(
                    "Declare {name} for this host (drbd_resource, state: present, as `uname -n` calls it): that writes its file. What the kernel runs of it goes on meanwhile."
                )
            }
            Self::NothingConfigured => {
                "Check the files in /etc/drbd.d and this host's `uname -n`.".to_owned()
            }
            Self::NotUp(name) => format!("Bring it up: `drbdadm adjust {name}`."),
            Self::NoModule(_) => {
                "Install the DRBD kernel module for the running kernel and load it.".to_owned()
            }
            Self::Attached(minor) => format!("Take the resource of minor {minor} down first."),
            Self::DeviceBusy(device) => format!("See who uses it: `lsblk {device}`, /proc/mounts, `lvs`."),
            Self::DeviceMissing(device) => format!("Attach or activate {device}, or declare another device."),
            Self::DeviceUnreadable { .. } => {
                "Look for I/O errors in the kernel log; replace the disk.".to_owned()
            }
            Self::NotABlockDevice(_) => "Declare a block device.".to_owned(),
            Self::DeviceTooSmall { .. } => "Give the volume a larger backing device.".to_owned(),
            Self::HoldsMetadata(_) => "Adopt this replica, or name the device for erasing.".to_owned(),
            Self::HoldsData { would_be_cut: true, .. } => {
                "Shrink what is on the device first, or name the device for erasing.".to_owned()
            }
            Self::HoldsData { .. } => {
                "Look at the device; if it may go, name the device for erasing.".to_owned()
            }
            Self::ConfirmationNeeded(_) => {
                "Do this step by hand, where the question can be answered.".to_owned()
            }
            Self::NoMetadata => {
                "If the device never was a replica, create metadata; if it was, find out why it is gone."
                    .to_owned()
            }
            Self::UncleanMetadata => "Attach the device; that applies its activity log.".to_owned(),
            Self::StuckInKernel(_) => {
                "Close what holds the device open; else only a reboot helps.".to_owned()
            }
            Self::Usage(_) => "Check the version of drbd-utils on this host.".to_owned(),
            Self::WaitTimedOut => "Check that the peers are up and can be reached.".to_owned(),
            Self::Killed(_) => "Check that the host is healthy and run again.".to_owned(),
            Self::Unrecognised { .. } => "Remove the cause and run again.".to_owned(),
        }
    }
}

fn kernel(number: u32) -> &'static str {
    match number {
        kernel_error::LOCAL_ADDRESS_IN_USE => {
            "Another connection has this address and port; give the resource a port of its own."
        }
        kernel_error::META_DEVICE_TOO_SMALL => "Give the volume a larger backing device (1 MiB at least).",
        kernel_error::MINOR_INVALID | kernel_error::RESOURCE_NOT_KNOWN => {
            "The resource is down; bring it up first."
        }
        kernel_error::RESYNC_RUNNING => "Wait for the resync to end and run again.",
        kernel_error::NEED_STANDALONE => {
            "The replicas are in use already; synchronise instead of declaring them in sync."
        }
        kernel_error::MINOR_IN_USE | kernel_error::MINOR_EXISTS => {
            "The minor belongs to another resource or is still open; see `drbdsetup status`."
        }
        kernel_error::INVALID_REQUEST => {
            "See the kernel log; on DRBD 9 a new peer may have found no free peer slot in the metadata."
        }
        _ => "See the kernel log, remove the cause and run again.",
    }
}

fn state(number: i32) -> &'static str {
    match number {
        state_error::TWO_PRIMARIES => "Make the other node Secondary first.",
        state_error::NO_UP_TO_DATE_DISK => {
            "Connect to a peer with UpToDate data, or wait for the sync to end."
        }
        state_error::RESYNC_RUNNING => "Wait for the resync or verify to end and run again.",
        state_error::DEVICE_IN_USE => "Unmount the device or stop what holds it open, and run again.",
        state_error::NO_QUORUM => "Bring enough peers back; see `drbdsetup status --verbose`.",
        _ => "See the kernel logs of this node and its peers, remove the cause and run again.",
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::drbdadm::classify;
    use crate::tools::samples;

    #[test]
    fn every_recorded_failure_has_an_advice_of_its_own() {
        let mut advised = std::collections::BTreeSet::new();
        for sample in ["drbdadm", "drbdsetup", "drbdmeta"].into_iter().flat_map(samples::of_tool) {
            if let Some(failure) = classify(&sample.output) {
                let advice = failure.advice();
                assert!(advice.ends_with('.'), "{}: {advice}", sample.name);
                advised.insert(advice);
            }
        }
        assert!(advised.len() > 20, "{advised:?}");
    }

    #[test]
    fn a_refused_promotion_says_what_is_missing() {
        let sample = samples::one("drbdadm", "9.2.18-utils-9.22", "primary-n1-up-alone-connecting");
        let advice = classify(&sample.output).unwrap().advice();
        assert_eq!(advice, "Connect to a peer with UpToDate data, or wait for the sync to end.");
    }
}
