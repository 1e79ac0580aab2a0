// SPDX-License-Identifier: MPL-2.0
//! The sub-commands of `drbdsetup`: which there are, and who carries them out. The configuring ones are in
//! `configure`, those that change states in `change`, those that only look in `print`.

use crate::answer::{Answer, Refusal};
use crate::arguments::Arguments;
use crate::daemon::Shared;
use crate::{change, configure, print};

/// How a command ended: with an answer, a refusal of the kernel, or a wrong command line.
pub(crate) enum Failed {
    /// What is refused, and why.
    Refused(String, Refusal),
    /// The command line is wrong.
    Usage(String),
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<Answer, Failed>;

/// A refusal about something.
pub(crate) fn refuse(what: impl std::fmt::Display, refusal: Refusal) -> Outcome {
    Err(Failed::Refused(what.to_string(), refusal))
}

/// Carries out one command line.
pub(crate) fn execute(shared: &Shared, line: &[String]) -> Answer {
    let arguments = Arguments::parse(line);
    let outcome = dispatch(shared, &arguments);
    {
        let kernel = shared.lock();
        crate::nbd::follow(shared, &kernel);
    }
    shared.changed.notify_all();
    match outcome {
        Ok(answer) => answer,
        Err(Failed::Refused(what, refusal)) => refusal.about(what),
        Err(Failed::Usage(message)) => Answer::usage(message),
    }
}

fn dispatch(shared: &Shared, arguments: &Arguments) -> Outcome {
    match arguments.verb.as_str() {
        "new-resource" => configure::new_resource(shared, arguments),
        "new-minor" => configure::new_minor(shared, arguments),
        "new-peer" => configure::new_peer(shared, arguments),
        "new-path" => configure::new_path(shared, arguments),
        "del-path" => configure::del_path(shared, arguments),
        "del-peer" => configure::del_peer(shared, arguments),
        "del-minor" => configure::del_minor(shared, arguments),
        "del-resource" => configure::del_resource(shared, arguments),
        "forget-peer" => configure::forget_peer(shared, arguments),
        "resource-options" => configure::resource_options(shared, arguments),
        "net-options" => configure::net_options(shared, arguments),
        "disk-options" => configure::disk_options(shared, arguments),
        "peer-device-options" => configure::peer_device_options(shared, arguments),
        "attach" => configure::attach(shared, arguments),
        "detach" => configure::detach(shared, arguments),
        "connect" => change::connect(shared, arguments),
        "disconnect" => change::disconnect(shared, arguments),
        "down" => change::down(shared, arguments),
        "primary" => change::primary(shared, arguments),
        "secondary" => change::secondary(shared, arguments),
        "new-current-uuid" => change::new_current_uuid(shared, arguments),
        "resize" => change::resize(shared, arguments),
        "check-resize" => Ok(Answer::done()),
        "invalidate" => change::invalidate(shared, arguments),
        "invalidate-remote" => change::invalidate_remote(shared, arguments),
        "verify" => change::verify(shared, arguments),
        "pause-sync" => change::pause_sync(shared, arguments, true),
        "resume-sync" => change::pause_sync(shared, arguments, false),
        "suspend-io" => change::suspend_io(shared, arguments, true),
        "resume-io" => change::suspend_io(shared, arguments, false),
        "outdate" => change::outdate(shared, arguments),
        verb if verb.starts_with("wait-") => change::wait(shared, arguments),
        verb => match print::look(&shared.lock(), arguments) {
            Some(outcome) => outcome,
            None => Err(Failed::Usage(format!("invalid command: {verb}"))),
        },
    }
}
