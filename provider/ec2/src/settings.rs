// SPDX-License-Identifier: MPL-2.0
//! How to reach AWS: the settings of the provider block, by the names that AWS's own provider gives them.
//!
//! What is not set comes from where every AWS tool takes it: environment, shared files, SSO and `aws login` sessions, web
//! identity, the metadata of an instance or container.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::sts::AssumeRoleProvider;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{Credentials, Region};

use crate::retry::NoRoom;
use crate::tags::Tags;

/// Attempts of one call, the first included. The SDK's own three are too few for an apply of many nodes.
const ATTEMPTS: u32 = 10;
/// Time for one attempt.
const ATTEMPT: Duration = Duration::from_secs(60);
/// Time to reach the endpoint.
const CONNECT: Duration = Duration::from_secs(10);

/// How to reach AWS. Everything is optional.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The region.
    pub region: Option<String>,
    /// A profile of the shared files.
    pub profile: Option<String>,
    /// Files instead of `~/.aws/config`.
    pub shared_config_files: Vec<PathBuf>,
    /// Files instead of `~/.aws/credentials`.
    pub shared_credentials_files: Vec<PathBuf>,
    /// Static keys: id, secret, session token.
    pub keys: Option<(String, String, Option<String>)>,
    /// The role to assume with what was found.
    pub assume_role: Option<AssumeRole>,
    /// The endpoint of the EC2 API; for other endpoints there are `AWS_ENDPOINT_URL_STS` and the like.
    pub endpoint_url: Option<String>,
    /// Attempts after the first one.
    pub max_retries: Option<u32>,
    /// Tags of everything that is made.
    pub default_tags: Tags,
}

/// A role to assume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssumeRole {
    /// Its ARN.
    pub role_arn: String,
    /// Name of the session, seen in CloudTrail.
    pub session_name: Option<String>,
    /// What the role's trust policy asks for.
    pub external_id: Option<String>,
    /// How long the session lasts.
    pub duration: Option<Duration>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("region", &self.region)
            .field("profile", &self.profile)
            .field("keys", &self.keys.as_ref().map(|_| "…"))
            .field("assume_role", &self.assume_role)
            .field("endpoint_url", &self.endpoint_url)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// A client. Reads files and the environment; contacts STS when a role is to be assumed, EC2 never.
    pub(crate) async fn client(&self) -> Client {
        let attempts = self.max_retries.map_or(ATTEMPTS, |retries| retries.saturating_add(1));
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(attempts))
            .timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        // The SDK for Rust does not know AWS_DEFAULT_PROFILE, which the command line and other SDKs do.
        if let Some(profile) = self.profile.clone().or_else(default_profile) {
            loader = loader.profile_name(profile);
        }
        if let Some(files) = self.profile_files() {
            loader = loader.profile_files(files);
        }
        if let Some((id, secret, token)) = &self.keys {
            loader = loader.credentials_provider(Credentials::new(
                id,
                secret,
                token.clone(),
                None,
                "provider block",
            ));
        }
        let shared = loader.load().await;
        let mut config = aws_sdk_ec2::config::Builder::from(&shared).retry_classifier(NoRoom);
        if let Some(role) = &self.assume_role {
            config = config.credentials_provider(role.provider(&shared).await);
        }
        if let Some(url) = &self.endpoint_url {
            config = config.endpoint_url(url);
        }
        Client::from_conf(config.build())
    }

    fn profile_files(&self) -> Option<EnvConfigFiles> {
        if self.shared_config_files.is_empty() && self.shared_credentials_files.is_empty() {
            return None;
        }
        let mut files = EnvConfigFiles::builder()
            .include_default_config_file(self.shared_config_files.is_empty())
            .include_default_credentials_file(self.shared_credentials_files.is_empty());
        for file in &self.shared_config_files {
            files = files.with_file(EnvConfigFileKind::Config, file);
        }
        for file in &self.shared_credentials_files {
            files = files.with_file(EnvConfigFileKind::Credentials, file);
        }
        Some(files.build())
    }
}

fn default_profile() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("AWS_PROFILE").is_some() { None } else { set("AWS_DEFAULT_PROFILE") }
}

impl AssumeRole {
    async fn provider(&self, shared: &aws_config::SdkConfig) -> AssumeRoleProvider {
        let mut provider = AssumeRoleProvider::builder(&self.role_arn)
            .session_name(self.session_name.as_deref().unwrap_or("terraform-provider-drbd"))
            .configure(shared);
        if let Some(id) = &self.external_id {
            provider = provider.external_id(id);
        }
        if let Some(duration) = self.duration {
            provider = provider.session_length(duration);
        }
        provider.build().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_nowhere() {
        let keys = Some(("AKIA".to_owned(), "hunter2".to_owned(), None));
        let text = format!("{:?}", Settings { keys, ..Settings::default() });
        assert!(!text.contains("hunter2") && !text.contains("AKIA"), "{text}");
    }
}
