// SPDX-License-Identifier: MPL-2.0
//! The words around the generated parts of a module's documentation: what it is for, what to know, examples, and when a
//! return value is there.
//!
//! Not here: options and return values themselves; their types and descriptions are those of drbd-schemas.

use drbd_schemas::args::Module;

/// How much of a feature there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Support {
    Full,
    None,
}

impl Support {
    /// Ansible's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

/// The hand-written part of one module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) short: &'static str,
    pub(crate) description: &'static [&'static str],
    pub(crate) check_mode: &'static str,
    pub(crate) diff_mode: Support,
    pub(crate) notes: &'static [&'static str],
    /// Options that the schema requires and that some values of other options make unnecessary: name, and when.
    pub(crate) sometimes_required: &'static [(&'static str, &'static str)],
    /// YAML.
    pub(crate) examples: &'static str,
}

pub(crate) const REQUIREMENTS: [&str; 3] = [
    "drbd-host on the host (role C(replivol.drbd.install), or its package)",
    "drbd-utils 9.22 or newer",
    "lvm2",
];

pub(crate) const NOTES: &[&str] = &[
    "The program C(drbd-host) does the work; it is installed once on each host. No Python is needed there.",
    "A task is a single SSH execution, whether or not pipelining is switched on. The variable C(drbd_pipelining), false, leaves that to the setting.",
    "Needs root (C(become=true)).",
    "Options take Ansible's spellings of booleans, numbers, lists and dictionaries; null is the same as left out.",
];

/// The words for a module.
pub(crate) fn module(module: Module) -> About {
    match module {
        Module::DrbdResource => RESOURCE,
        Module::DrbdInfo => INFO,
        Module::DrbdWait => WAIT,
        Module::DrbdInitialSync => INITIAL_SYNC,
        Module::DrbdStoragePool => STORAGE_POOL,
        Module::DrbdRole => ROLE,
        Module::DrbdVerify => VERIFY,
        Module::DrbdPorts => PORTS,
    }
}

const UNLESS_NAME: &str = "Required for C(state=present).";

const RESOURCE: About = About {
    short: "This host's part of a DRBD resource",
    description: &[
        "Brings this host's part of one replicated resource to the declared state - logical volumes, the file in \
         C(/etc/drbd.d), metadata, and what the kernel runs.",
        "The declaration is one document for all hosts. Each takes its own part from it, by the name that C(uname -n) \
         prints there.",
        "Looks at what a backing device holds before anything is written to it. What is not ours is refused; the refusal \
         prints the token that C(consent) would need. There is no way to force everything.",
        "Reads what C(drbdadm adjust) would do before it is run, and refuses what would detach a good disk or drop the \
         last good copy.",
    ],
    check_mode: "The same plan as that of the real run, step by step, from the same start.",
    diff_mode: Support::Full,
    notes: &[
        "Without C(serial) all hosts change at once, and peers that disagree about an option disconnect for a moment.",
    ],
    sometimes_required: &[("nodes", UNLESS_NAME), ("volumes", UNLESS_NAME)],
    examples: include_str!("examples/drbd_resource.yml"),
};

const INFO: About = About {
    short: "What DRBD, LVM and the disks of a host are like",
    description: &[
        "Facts of this host - DRBD's versions, every resource with its configuration, state and peers, what each backing \
         device holds, volume groups, used ports and minors.",
        "With C(resources) it also tells which of them are as declared, and what is here that nothing declares - in one \
         execution for all of them.",
        "Changes nothing, ever. The facts of all hosts are the evidence for M(replivol.drbd.drbd_initial_sync) and for \
         growing.",
    ],
    check_mode: "Changes nothing in any mode.",
    diff_mode: Support::None,
    notes: &[],
    sometimes_required: &[],
    examples: include_str!("examples/drbd_info.yml"),
};

const WAIT: About = About {
    short: "Wait for a condition of a DRBD resource",
    description: &[
        "Waits until a resource on this host is connected, or has good data, and says what it saw last when the deadline \
         passes.",
    ],
    check_mode: "Says what it would wait for, when it is not there yet.",
    diff_mode: Support::None,
    notes: &[
        "Use the option C(timeout) rather than the keyword C(timeout) of a task, which leaves the program running on the host.",
    ],
    sometimes_required: &[],
    examples: include_str!("examples/drbd_wait.yml"),
};

const INITIAL_SYNC: About = About {
    short: "Make the data of a new DRBD resource valid",
    description: &[
        "A new resource has no valid data on any host. This says whose content counts, on exactly one host, when all \
         replicas are connected and none was ever used.",
        "Skips the first full synchronisation only where every replica is proven to read as zeroes; otherwise it \
         synchronises, and says why.",
        "Does nothing where there are data. It may stay in a playbook.",
    ],
    check_mode: "Says that it cannot decide yet where earlier tasks have not been run.",
    diff_mode: Support::Full,
    notes: &["Run it on all hosts, not with C(run_once). The one that has to act knows it."],
    sometimes_required: &[],
    examples: include_str!("examples/drbd_initial_sync.yml"),
};

const ROLE: About = About {
    short: "Make a host Primary or Secondary, with its file systems mounted or unmounted",
    description: &[
        "Promotes or demotes this host, and mounts or unmounts the file systems that are listed. A planned move of a \
         service is C(role=secondary) on the old host, then C(role=primary) on the new one, with the same C(mounts).",
        "Refuses to promote while another host is Primary, while the data here are not UpToDate, and while a peer's state \
         is not known; to demote while something uses a device, which is named.",
        "Makes a file system only when asked to, and only on a device that is proven blank. Lets one grow when its device \
         has grown.",
    ],
    check_mode: "The same plan as that of the real run.",
    diff_mode: Support::Full,
    notes: &["C(/etc/fstab) and the services that use the data are not touched."],
    sometimes_required: &[],
    examples: include_str!("examples/drbd_role.yml"),
};

const VERIFY: About = About {
    short: "Compare the replicas of a DRBD resource block by block",
    description: &[
        "Starts an online verify with every peer, or joins one that runs, waits for its end, and fails when anything \
         differs, with the amount and the peer. Nothing is repaired.",
        "The data stay in use meanwhile.",
    ],
    check_mode: "Says what would be compared.",
    diff_mode: Support::None,
    notes: &["Run it on one host of the resource. Its C(net) options need C(verify_alg)."],
    sometimes_required: &[],
    examples: include_str!("examples/drbd_verify.yml"),
};

const PORTS: About = About {
    short: "Prove that the nodes of a DRBD resource reach each other's replication ports",
    description: &[
        "Nobody listens on a replication port before DRBD does, and DRBD itself would only go on trying. So the nodes meet \
         there before anything is made - each listens for a moment on its own ports, connects to those of its peers from the \
         address that it replicates from, and an answer proves both directions.",
        "Fails when a way is not open at the deadline, and names the pair, the address and the port; at once when a program \
         has the port, or the address is not this host's.",
        "Where the resource is up, DRBD has the ports, and nothing is tried.",
    ],
    check_mode: "Changes nothing in any mode.",
    diff_mode: Support::None,
    notes: &[
        "Run it on all hosts of the resource in one task, with at least as many C(forks) as hosts. Where they take turns, set \
         C(together=false).",
    ],
    sometimes_required: &[],
    examples: include_str!("examples/drbd_ports.yml"),
};

const STORAGE_POOL: About = About {
    short: "An LVM volume group, and a thin pool in it, from blank disks",
    description: &[
        "Makes a volume group from disks that are proven blank, or adds them to it, and a thin pool that takes its space.",
        "A disk that was grown since is used in its new size, and a thin pool that filled the group grows with it, while volumes are in use. Nothing is ever made smaller.",
        "Disks that hold anything are refused. Disks of the group that are not listed are left alone.",
    ],
    check_mode: "The same plan as that of the real run.",
    diff_mode: Support::Full,
    notes: &["Name disks by C(/dev/disk/by-id). Kernel names change."],
    sometimes_required: &[],
    examples: include_str!("examples/drbd_storage_pool.yml"),
};

/// Whether an option below the top is documented at the top already: the sections of DRBD's options.
pub(crate) fn repeated(name: &str, top: bool) -> bool {
    !top && ["net", "disk", "options"].contains(&name)
}

/// What stands for the keys of a dictionary that the user chooses; an identifier, as ansible-test wants it from 2.21 on.
pub(crate) fn key_word(check: Option<&str>) -> &'static str {
    match check {
        Some("node-name") => "NODE",
        Some("volume-number") => "VOLUME",
        _ => "NAME",
    }
}

/// When a module returns a value; `None` when never.
pub(crate) fn returned(module: Module, name: &str, required: bool) -> Option<String> {
    let about_one = !matches!(module, Module::DrbdInfo | Module::DrbdStoragePool | Module::DrbdPorts);
    let when = match name {
        "declared" => {
            (module == Module::DrbdInfo).then_some("when C(resources) or C(storage_pools) are given")
        }
        "facts" => (module == Module::DrbdInfo).then_some("success"),
        "before" => (about_one && module != Module::DrbdWait).then_some("when the resource was looked at"),
        "after" => about_one.then_some("when the resource was looked at"),
        "pending" => (module == Module::DrbdResource).then_some("when there is any"),
        "diff" => matches!(self::module(module).diff_mode, Support::Full).then_some("in diff mode"),
        "resource" => (module != Module::DrbdInfo).then_some("when it is known"),
        "facts_used" => (module == Module::DrbdInitialSync).then_some("when a decision was taken"),
        "failed" => Some("on failure"),
        "violations" => Some("when the arguments are wrong"),
        "next_steps" | "warnings" => Some("when there are any"),
        _ => Some(if required { "always" } else { "when known" }),
    };
    when.map(str::to_owned)
}
