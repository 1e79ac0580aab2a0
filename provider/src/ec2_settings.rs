// SPDX-License-Identifier: MPL-2.0
//! The provider block's `ec2`: its attributes, by the names of AWS's own provider, and the settings that follow.
//!
//! Everything is optional. Who launches nothing needs neither this nor any AWS credentials.

use drbd_ec2::{AssumeRole, Settings};
use tfplugin::{Attribute, Decode, Diagnostic, Path, Reader, Type, Value};

use crate::duration;

/// The attribute.
pub(crate) fn attribute() -> Attribute {
    let text = |name: &str, description: &str| Attribute::string(name).optional().description(description);
    let files = |name: &str, description: &str| {
        Attribute::of(name, Type::list(Type::String)).optional().description(description)
    };
    let members = vec![
        text("region", "Region of the instances. Unset: `AWS_REGION`, else that of the profile."),
        text(
            "profile",
            "Profile of the shared files, SSO ones included. Unset: `AWS_PROFILE`, else `default`.",
        ),
        files("shared_config_files", "Files instead of `~/.aws/config`."),
        files("shared_credentials_files", "Files instead of `~/.aws/credentials`."),
        text("access_key", "Id of a static key. Better: a profile, SSO, or a role.").sensitive(),
        text("secret_key", "The static key itself. It is stored nowhere.").sensitive(),
        text("token", "Session token of temporary keys. It is stored nowhere.").sensitive(),
        assume_role(),
        text(
            "endpoint_url",
            "Endpoint of the EC2 API. Unset: `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`, else AWS's own.",
        ),
        Attribute::number("max_retries")
            .optional()
            .description("How often a call is repeated that AWS throttled or did not answer; 9 unless set."),
        Attribute::of("default_tags", Type::map(Type::String))
            .optional()
            .description("Tags of every object that is made. Those of a node win over these."),
    ];
    Attribute::single_nested("ec2", members).optional().description(
        "How to reach AWS for nodes with `ec2`. Unset members come from where every AWS tool takes them: the environment, shared \
         files, SSO, web identity, the metadata of an instance or container.",
    )
}

fn assume_role() -> Attribute {
    let members = vec![
        Attribute::string("role_arn").required().description("ARN of the role."),
        Attribute::string("session_name")
            .optional()
            .description("Name of the session, as CloudTrail shows it."),
        Attribute::string("external_id").optional().description("What the role's trust policy asks for."),
        duration::attribute("duration", "How long the session lasts, such as `1h`."),
    ];
    Attribute::single_nested("assume_role", members)
        .optional()
        .description("A role to assume with what was found.")
}

/// The settings of a provider block.
///
/// # Errors
/// When something in it is not known yet, or half a key is given.
pub(crate) fn settings(value: &Value) -> Result<Settings, Diagnostic> {
    if value.is_null() {
        return Ok(Settings::default());
    }
    let r = Reader::decode(value, &Path::of("ec2"))?;
    let files = |name: &str| -> Result<Vec<_>, Diagnostic> {
        let files = r.get::<Option<Vec<String>>>(name)?.unwrap_or_default();
        Ok(files.into_iter().map(Into::into).collect())
    };
    let text = |name: &str| r.opt_str(name).map(|text| text.map(str::to_owned));
    let keys = match (text("access_key")?, text("secret_key")?) {
        (Some(id), Some(secret)) => Some((id, secret, text("token")?)),
        (None, None) => None,
        _ => {
            let detail = "ec2.access_key and ec2.secret_key belong together; one of them is not set.";
            return Err(r.error("access_key", "Half a key", detail));
        }
    };
    Ok(Settings {
        region: text("region")?,
        profile: text("profile")?,
        shared_config_files: files("shared_config_files")?,
        shared_credentials_files: files("shared_credentials_files")?,
        keys,
        assume_role: r.nested("assume_role")?.map(|role| read_role(&role)).transpose()?,
        endpoint_url: text("endpoint_url")?,
        max_retries: r.get("max_retries")?,
        default_tags: r.get::<Option<_>>("default_tags")?.unwrap_or_default(),
    })
}

fn read_role(r: &Reader<'_>) -> Result<AssumeRole, Diagnostic> {
    Ok(AssumeRole {
        role_arn: r.required_str("role_arn")?.to_owned(),
        session_name: r.get("session_name")?,
        external_id: r.get("external_id")?,
        duration: r.opt_str("duration")?.and_then(duration::parse),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_needed_and_half_a_key_is_refused() {
        assert_eq!(settings(&Value::Null).unwrap(), Settings::default());
        let half = Value::object([("access_key", "AKIA")]);
        assert!(settings(&half).unwrap_err().detail.contains("secret_key"));
        assert!(settings(&Value::object([("region", Value::unknown())])).is_err());
    }

    #[test]
    fn every_member_arrives() {
        let role = Value::object([("role_arn", "arn:aws:iam::1:role/x"), ("duration", "1h")]);
        let value = Value::object([
            ("region", Value::from("us-west-2")),
            ("max_retries", Value::from(3_u16)),
            ("shared_config_files", Value::list(["/c"])),
            ("assume_role", role),
            ("default_tags", Value::map([("team", "storage")])),
        ]);
        let found = settings(&value).unwrap();
        assert_eq!(found.region.as_deref(), Some("us-west-2"));
        assert_eq!((found.max_retries, found.shared_config_files.len()), (Some(3), 1));
        assert_eq!(found.assume_role.unwrap().duration.unwrap().as_secs(), 3600);
        assert_eq!(found.default_tags["team"], "storage");
    }
}
