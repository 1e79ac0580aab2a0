// SPDX-License-Identifier: MPL-2.0
//! What can go wrong with the API, by who must act, with what to do.

use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use thiserror::Error;

use crate::gate::{Overdue, Stuck};

/// Why something in EC2 was not done. Every message is complete, with the next step.
#[derive(Clone, Debug, Error)]
pub enum Ec2Error {
    /// The API said no.
    #[error("{}", said(.call, .code, .message, .request_id, .remedy))]
    Api {
        /// The call, for example `RunInstances`, and on what.
        call: String,
        /// AWS's code, for example `InsufficientInstanceCapacity`.
        code: String,
        /// AWS's message.
        message: String,
        /// The id by which AWS finds the request.
        request_id: Option<String>,
        /// What to do.
        remedy: &'static str,
    },

    /// The API did not answer, or could not be asked. For a create it is not known whether something was made; the next
    /// run finds it by its tags and its client token.
    #[error("{call}: no answer from AWS: {why}. {remedy}")]
    NoAnswer {
        /// The call.
        call: String,
        /// The whole chain of causes.
        why: String,
        /// What to do.
        remedy: &'static str,
    },

    /// Something did not become true in time.
    #[error("{0}")]
    Overdue(Overdue),

    /// What was found is not what may be worked on.
    #[error("{what}. Nothing was changed. {remedy}")]
    Refused {
        /// What was found, and what was expected.
        what: String,
        /// What to do.
        remedy: String,
    },

    /// Another run makes the same object, and has it now.
    #[error("{what}. {remedy}")]
    TakenOver {
        /// Which object.
        what: String,
        /// What to do.
        remedy: String,
    },

    /// An object went into a state from which it does not return.
    #[error("{what}. {remedy}")]
    Broken {
        /// Which object, and its state with AWS's reason.
        what: String,
        /// What to do.
        remedy: String,
    },
}

/// What kind of refusal a code is. Only what callers branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such object, or not yet.
    NotFound,
    /// There is no room for this type in this zone now.
    Capacity,
    /// A quota of the account.
    Quota,
    /// The client token stands for something else.
    TokenTaken,
    /// The client token's instance is terminated.
    TokenSpent,
    /// There is such an object, or rule, already.
    Exists,
    /// Something else still uses the object.
    InUse,
    /// The object is in another state than the call needs.
    State,
    /// Who asks is not known, or may not.
    Access,
    /// Everything else.
    Other,
}

fn said(call: &str, code: &str, message: &str, request_id: &Option<String>, remedy: &str) -> String {
    let id = request_id.as_deref().map(|id| format!(", request {id}")).unwrap_or_default();
    format!("{call}: {message} ({code}{id}). {remedy}")
}

impl Ec2Error {
    /// From a failed call.
    pub(crate) fn of<E, R>(call: impl Into<String>, error: SdkError<E, R>) -> Self
    where
        SdkError<E, R>: ProvideErrorMetadata + RequestId + std::error::Error,
    {
        let call = call.into();
        let request_id = error.request_id().map(str::to_owned);
        let Some(code) = error.code().map(str::to_owned) else {
            let why = DisplayErrorContext(&error).to_string();
            let remedy = no_answer_remedy(&why);
            return Self::NoAnswer { call, why: shortened(&why), remedy };
        };
        let message = error.message().unwrap_or("AWS gave no message").trim_end_matches('.').to_owned();
        let remedy = remedy(&code);
        Self::Api { call, code, message, request_id, remedy }
    }

    /// A refusal of our own.
    pub(crate) fn refused(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), remedy: remedy.into() }
    }

    /// From a gate whose looks fail with this very type.
    pub(crate) fn stuck(stuck: Stuck<Self>) -> Self {
        match stuck {
            Stuck::Overdue(overdue) => Self::Overdue(overdue),
            Stuck::Failed(error) => error,
        }
    }

    /// One line: what it is about.
    pub fn summary(&self) -> &'static str {
        match self {
            Self::Api { .. } => match self.kind() {
                Kind::NotFound => "EC2 object not found",
                Kind::Capacity => "No EC2 capacity",
                Kind::Quota => "EC2 quota reached",
                Kind::TokenTaken | Kind::TokenSpent => "EC2 client token in use",
                Kind::Exists => "EC2 object exists already",
                Kind::InUse => "EC2 object in use",
                Kind::State => "EC2 object in another state",
                Kind::Access => "AWS access denied",
                Kind::Other => "EC2 request refused",
            },
            Self::NoAnswer { .. } => "AWS cannot be asked",
            Self::Overdue(_) => "EC2 object not ready in time",
            Self::Refused { .. } => "EC2 object not touched",
            Self::TakenOver { .. } => "Another run makes this",
            Self::Broken { .. } => "EC2 object failed",
        }
    }

    /// AWS's code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            Self::NoAnswer { .. }
            | Self::Overdue(_)
            | Self::Refused { .. }
            | Self::TakenOver { .. }
            | Self::Broken { .. } => None,
        }
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> Kind {
        self.code().map_or(Kind::Other, kind)
    }

    /// Whether it says that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }
}

fn kind(code: &str) -> Kind {
    match code {
        "IdempotentParameterMismatch" => Kind::TokenTaken,
        "IdempotentInstanceTerminated" => Kind::TokenSpent,
        "InvalidGroup.Duplicate" | "InvalidPermission.Duplicate" => Kind::Exists,
        "DependencyViolation" => Kind::InUse,
        "IncorrectInstanceState" | "IncorrectState" | "IncorrectModificationState" | "VolumeInUse" => {
            Kind::State
        }
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientCapacity"
        | "InsufficientVolumeCapacity"
        | "Unsupported"
        | "SpotMaxPriceTooLow" => Kind::Capacity,
        "UnauthorizedOperation"
        | "AuthFailure"
        | "AccessDenied"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "RequestExpired"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "OperationNotPermitted"
        | "PendingVerification"
        | "Blocked" => Kind::Access,
        code if code.ends_with("NotFound") || code.ends_with("Unknown") => Kind::NotFound,
        code if code.ends_with("LimitExceeded") || code.ends_with("RateExceeded") => Kind::Quota,
        _ => Kind::Other,
    }
}

fn remedy(code: &str) -> &'static str {
    match code {
        "Unsupported" => {
            "This zone does not have the instance type; choose another type, or another subnet or zone."
        }
        "SpotMaxPriceTooLow" => "Raise spot.max_price, or leave it out for the on-demand price.",
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            "The credentials have expired, or the clock is wrong: log in again (aws sso login, aws login, or new temporary keys)."
        }
        "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" | "UnrecognizedClientException" => {
            "AWS does not know these credentials: check the profile, the environment, and the region."
        }
        "UnauthorizedOperation" | "AccessDenied" => {
            "The credentials are valid and lack this permission; docs/resources/node.md lists those that are needed."
        }
        "OptInRequired" => "The account must be subscribed to this service, region or image first.",
        "OperationNotPermitted" => {
            "The object is protected from this in EC2; take the protection away there first."
        }
        "VcpuLimitExceeded" | "InstanceLimitExceeded" | "MaxSpotInstanceCountExceeded" => {
            "Ask for a higher quota in the Service Quotas console, or use a smaller type."
        }
        "VolumeLimitExceeded" | "MaxIOPSLimitExceeded" => {
            "Ask for a higher EBS quota, or delete volumes that nobody needs."
        }
        "VolumeModificationRateExceeded" | "IncorrectModificationState" => {
            "EBS takes the next change of a volume six hours after the last one is done; apply again then."
        }
        "IdempotentParameterMismatch" => {
            "An earlier run began to create this with other settings; apply again in a minute, when EC2 lists what it made."
        }
        "InvalidSubnetID.NotFound" | "InvalidSubnet" => "Check subnet_id, the region and the account.",
        "InvalidGroup.NotFound" | "InvalidSecurityGroupID.NotFound" | "InvalidGroupId.Malformed" => {
            "Check security_group_ids: each must be in the VPC of the subnet."
        }
        "InvalidVpcID.NotFound" => "Check vpc_id, the region and the account.",
        "RulesPerSecurityGroupLimitExceeded" => {
            "Name fewer sources, or wider ones, or ask for a higher quota of rules."
        }
        "SecurityGroupLimitExceeded" => {
            "Ask for a higher quota of security groups, or delete those that nobody needs."
        }
        "InvalidKeyPair.NotFound" => "Check key_name: key pairs belong to one region; import it there first.",
        "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable" => {
            "Check image_id: images belong to one region."
        }
        "InvalidIPAddress.InUse" => "The private IP address is taken; choose another one.",
        "InvalidInstanceType" => "Check instance_type: regions do not all have the same types.",
        "InvalidZone.NotFound" => "Check availability_zone and the region.",
        "InvalidBlockDeviceMapping" => "Check root_block_device against the image.",
        code => match kind(code) {
            Kind::Capacity => {
                "AWS has no room for this type in this zone now: try later, or choose another type, or another subnet or zone."
            }
            Kind::Quota => {
                "A quota of the account is reached; ask for a higher one, or wait where it is a rate."
            }
            Kind::NotFound => "Check the id, the region and the account.",
            _ => "Check the settings that the message names.",
        },
    }
}

fn no_answer_remedy(why: &str) -> &'static str {
    if why.contains("credential") || why.contains("profile") {
        "No usable credentials were found: set ec2.profile in the provider block, AWS_PROFILE or AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, or run where an instance profile gives them; a profile with mfa_serial needs temporary keys."
    } else if why.contains("region") {
        "No region was found: set ec2.region in the provider block, AWS_REGION, or region in the profile."
    } else {
        "Check the network, proxies and endpoint_url, and apply again: what this call may have made is found again by its tags."
    }
}

fn shortened(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(600) {
        Some((at, _)) => format!("{}…", one_line.get(..at).unwrap_or_default()),
        None => one_line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: &str) -> Ec2Error {
        Ec2Error::Api {
            call: "RunInstances of m6i.large in us-west-2a".into(),
            code: code.into(),
            message: "We currently do not have sufficient capacity".into(),
            request_id: Some("r-1".into()),
            remedy: remedy(code),
        }
    }

    #[test]
    fn a_message_names_call_code_request_and_remedy() {
        let text = api("InsufficientInstanceCapacity").to_string();
        for part in [
            "RunInstances of m6i.large in us-west-2a",
            "InsufficientInstanceCapacity",
            "request r-1",
            "another type",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn codes_are_sorted_by_what_callers_do() {
        for (code, kind) in [
            ("InvalidInstanceID.NotFound", Kind::NotFound),
            ("InvalidVolume.NotFound", Kind::NotFound),
            ("InvalidPlacementGroup.Unknown", Kind::NotFound),
            ("InsufficientInstanceCapacity", Kind::Capacity),
            ("VcpuLimitExceeded", Kind::Quota),
            ("VolumeModificationRateExceeded", Kind::Quota),
            ("IdempotentParameterMismatch", Kind::TokenTaken),
            ("IdempotentInstanceTerminated", Kind::TokenSpent),
            ("IncorrectState", Kind::State),
            ("InvalidGroup.Duplicate", Kind::Exists),
            ("DependencyViolation", Kind::InUse),
            ("UnauthorizedOperation", Kind::Access),
            ("InvalidParameterValue", Kind::Other),
        ] {
            assert_eq!(api(code).kind(), kind, "{code}");
        }
    }

    #[test]
    fn missing_credentials_and_regions_are_told_apart() {
        assert!(
            no_answer_remedy("dispatch failure: the credential provider was not enabled")
                .contains("AWS_PROFILE")
        );
        assert!(no_answer_remedy("dispatch failure: missing signing region").contains("AWS_REGION"));
        assert!(no_answer_remedy("dispatch failure: connection refused").contains("endpoint_url"));
    }
}
