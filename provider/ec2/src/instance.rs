// SPDX-License-Identifier: MPL-2.0
//! The life of an instance after its launch: waiting for it, its host keys, stopping, terminating, tags.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::types::AttributeBooleanValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::Ec2;
use crate::console::{HostKey, host_keys};
use crate::error::{Ec2Error, Kind};
use crate::gate::{Gate, Look};
use crate::tags::{self, Owner, Role, Tags};
use crate::words::{Instance, InstanceState};

/// AWS's own provider waits as long for a stop or a termination.
const ENDING_DEADLINE: Duration = Duration::from_secs(20 * 60);

impl Ec2 {
    /// Waits until an instance runs.
    ///
    /// # Errors
    /// [`Ec2Error::Broken`] with AWS's reason when it ends instead: a refused disk key shows only so.
    pub async fn running(&self, id: &str, within: Duration) -> Result<Instance, Ec2Error> {
        let remedy = format!("Look at `aws ec2 describe-instances --instance-ids {id}`, and apply again.");
        let gate = Gate::new("instance running", id, within, remedy);
        let looked = gate.pass(|| async {
            match self.instance(id).await? {
                // For some seconds after the launch.
                None => Ok(Look::NotYet("EC2 does not list it yet".to_owned())),
                Some(instance) if instance.state == InstanceState::Running => Ok(Look::Passed(instance)),
                Some(instance) if instance.state.is_gone() => Err(ended(&instance)),
                Some(instance) => Ok(Look::NotYet(instance.state.to_string())),
            }
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// Waits until both status checks of an instance pass.
    ///
    /// # Errors
    /// When they do not in time, or EC2 could not be asked.
    pub async fn status_checks(&self, id: &str, within: Duration) -> Result<(), Ec2Error> {
        let remedy = "A failed system check is AWS's hardware: terminate the instance, and apply again. A failed instance check \
                      is the guest: look at its console.";
        let gate = Gate::new("status checks", id, within, remedy);
        let looked = gate.pass(|| async {
            let call = self.client().await.describe_instance_status().instance_ids(id);
            let told = match call
                .send()
                .await
                .map_err(|e| Ec2Error::of(format!("DescribeInstanceStatus of {id}"), e))
            {
                Err(error) if error.is_not_found() => {
                    return Ok(Look::NotYet("EC2 does not list it yet".to_owned()));
                }
                other => other?,
            };
            let word = |summary: Option<&aws_sdk_ec2::types::InstanceStatusSummary>| {
                summary.and_then(|s| s.status()).map_or("unknown", |status| status.as_str()).to_owned()
            };
            let Some(status) = told.instance_statuses().first() else {
                return Ok(Look::NotYet("no status yet".to_owned()));
            };
            let (system, instance) = (word(status.system_status()), word(status.instance_status()));
            Ok(if system == "ok" && instance == "ok" {
                Look::Passed(())
            } else {
                Look::NotYet(format!("system {system}, instance {instance}"))
            })
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// Waits until an instance has printed its host keys on its console.
    ///
    /// # Errors
    /// When it prints none in time; images without cloud-init, or with `emit_keys_to_console: false`, never do.
    pub async fn console_host_keys(&self, id: &str, within: Duration) -> Result<Vec<HostKey>, Ec2Error> {
        let remedy = "The image may print no host keys (cloud-init's emit_keys_to_console is false, or there is no cloud-init): \
                      give them as ssh.host_keys then.";
        let gate = Gate::new("host keys on the console", id, within, remedy);
        let looked = gate.pass(|| async {
            let console = self.console(id).await?;
            let keys = host_keys(&console);
            Ok(if keys.is_empty() {
                Look::NotYet(format!("{} bytes of console output, no host key in them", console.len()))
            } else {
                Look::Passed(keys)
            })
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// The newest console output that there is; of types other than Nitro it can be minutes old.
    async fn console(&self, id: &str) -> Result<String, Ec2Error> {
        let what = || format!("GetConsoleOutput of {id}");
        let client = self.client().await;
        let newest = client.get_console_output().instance_id(id).latest(true).send().await;
        let answer = match newest.map_err(|error| Ec2Error::of(what(), error)) {
            // Only Nitro keeps a console that can be read at any time.
            Err(error) if matches!(error.code(), Some("UnsupportedOperation" | "Unsupported")) => {
                let kept = client.get_console_output().instance_id(id).send().await;
                kept.map_err(|error| Ec2Error::of(what(), error))?
            }
            other => other?,
        };
        let encoded: String = answer.output().unwrap_or_default().split_whitespace().collect();
        let bytes = STANDARD.decode(encoded).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Terminates an instance and waits until it is gone; done when it is gone already.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it is not the owner's; what EC2 refuses, such as a termination protection.
    pub async fn terminate(&self, owner: &Owner, id: &str) -> Result<(), Ec2Error> {
        let Some(instance) = self.owned_instance(owner, id).await? else { return Ok(()) };
        if instance.state == InstanceState::Terminated {
            return Ok(());
        }
        let call = self.changing().await;
        let asked = call.terminate_instances().instance_ids(id).send().await;
        match asked.map_err(|error| Ec2Error::of(format!("TerminateInstances of {id}"), error)) {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other.map(drop)?,
        }
        let remedy = format!("Look at `aws ec2 describe-instances --instance-ids {id}`, and apply again.");
        let gate = Gate::new("instance terminated", id, ENDING_DEADLINE, remedy);
        let looked = gate.pass(|| async {
            match self.instance(id).await? {
                None => Ok(Look::Passed(())),
                Some(instance) if instance.state == InstanceState::Terminated => Ok(Look::Passed(())),
                Some(instance) => Ok(Look::NotYet(instance.state.to_string())),
            }
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// Stops an instance, so that its guest lets go of its disks; done when it does not run. Never forced. `false`
    /// for one that cannot be stopped, only terminated, which shuts the guest down, too.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it is not the owner's; when the guest does not shut down in time.
    pub async fn stop(&self, owner: &Owner, id: &str) -> Result<bool, Ec2Error> {
        let Some(instance) = self.owned_instance(owner, id).await? else { return Ok(true) };
        if instance.state.is_gone() || instance.state == InstanceState::Stopped {
            return Ok(true);
        }
        // Of a one-time request.
        if instance.spot {
            return Ok(false);
        }
        let call = self.changing().await;
        let asked = call.stop_instances().instance_ids(id).send().await;
        match asked.map_err(|error| Ec2Error::of(format!("StopInstances of {id}"), error)) {
            Err(error) if error.kind() == Kind::State && instance.state == InstanceState::Stopping => (),
            Err(error) if error.is_not_found() => return Ok(true),
            other => other.map(drop)?,
        }
        let remedy = format!(
            "The guest does not shut down: look at its console, or run `aws ec2 stop-instances --force --instance-ids {id}`, and \
             apply again."
        );
        let gate = Gate::new("instance stopped", id, ENDING_DEADLINE, remedy);
        let looked = gate.pass(|| async {
            match self.instance(id).await? {
                None => Ok(Look::Passed(())),
                Some(one) if one.state.is_gone() || one.state == InstanceState::Stopped => {
                    Ok(Look::Passed(()))
                }
                Some(one) => Ok(Look::NotYet(one.state.to_string())),
            }
        });
        looked.await.map_err(Ec2Error::stuck).map(|()| true)
    }

    /// Starts a stopped instance.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it is not the owner's; what EC2 refuses.
    pub async fn start(&self, owner: &Owner, id: &str) -> Result<(), Ec2Error> {
        let remedy = format!("Look at `aws ec2 describe-instances --instance-ids {id}`, and apply again.");
        let gate = Gate::new("instance stopped, to be started", id, ENDING_DEADLINE, remedy);
        let looked = gate.pass(|| async {
            match self.owned_instance(owner, id).await? {
                Some(one) if one.state == InstanceState::Stopping => Ok(Look::NotYet(one.state.to_string())),
                other => Ok(Look::Passed(other)),
            }
        });
        let found = looked.await.map_err(Ec2Error::stuck)?;
        if found.is_none_or(|instance| instance.state != InstanceState::Stopped) {
            return Ok(());
        }
        let call = self.changing().await;
        let asked = call.start_instances().instance_ids(id).send().await;
        asked.map(drop).map_err(|error| Ec2Error::of(format!("StartInstances of {id}"), error))
    }

    /// Sets whether the network drops packets that are not addressed to the instance, on its primary interface: routers and
    /// VPN hosts need it off.
    ///
    /// # Errors
    /// What EC2 refuses.
    pub async fn set_source_dest_check(&self, instance: &Instance, check: bool) -> Result<(), Ec2Error> {
        let Some(interface) =
            instance.interface_id.as_deref().filter(|_| instance.source_dest_check != Some(check))
        else {
            return Ok(());
        };
        let value = AttributeBooleanValue::builder().value(check).build();
        let call = self.changing().await;
        let call = call
            .modify_network_interface_attribute()
            .network_interface_id(interface)
            .source_dest_check(value);
        let what = || format!("ModifyNetworkInterfaceAttribute of {interface}");
        call.send().await.map(drop).map_err(|error| Ec2Error::of(what(), error))
    }

    /// Sets the security groups of the primary interface.
    ///
    /// # Errors
    /// What EC2 refuses.
    pub async fn set_security_groups(&self, instance: &Instance, groups: &[String]) -> Result<(), Ec2Error> {
        let wanted: BTreeSet<&String> = groups.iter().collect();
        let Some(interface) = instance.interface_id.as_deref() else { return Ok(()) };
        if wanted.is_empty() || wanted == instance.security_group_ids.iter().collect() {
            return Ok(());
        }
        let call = self.changing().await;
        let call = call.modify_network_interface_attribute().network_interface_id(interface);
        let what = || format!("ModifyNetworkInterfaceAttribute of {interface}");
        let asked = call.set_groups(Some(groups.to_vec())).send().await;
        asked.map(drop).map_err(|error| Ec2Error::of(what(), error))
    }

    /// Brings the tags of one of the owner's objects to those of users: `before` are those that a user no longer wants.
    ///
    /// # Errors
    /// What EC2 refuses.
    pub async fn retag(
        &self,
        owner: &Owner,
        role: &Role,
        id: &str,
        now: &Tags,
        before: &Tags,
        wanted: &Tags,
    ) -> Result<(), Ec2Error> {
        let wanted = tags::merged(owner, role, &[self.default_tags(), wanted]);
        let missing: Tags = wanted
            .iter()
            .filter(|(key, value)| now.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !missing.is_empty() {
            let call = self.changing().await;
            let call = call.create_tags().resources(id).set_tags(Some(tags::write(&missing)));
            call.send().await.map_err(|error| Ec2Error::of(format!("CreateTags of {id}"), error))?;
        }
        let surplus: Tags = before
            .iter()
            .filter(|(key, _)| !wanted.contains_key(*key) && now.contains_key(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !surplus.is_empty() {
            let call = self.changing().await;
            let call = call.delete_tags().resources(id).set_tags(Some(tags::write(&surplus)));
            call.send().await.map_err(|error| Ec2Error::of(format!("DeleteTags of {id}"), error))?;
        }
        Ok(())
    }
}

fn ended(instance: &Instance) -> Ec2Error {
    let reason = instance.state_reason.as_deref().unwrap_or("AWS gave no reason");
    Ec2Error::Broken {
        what: format!("The instance {} is {}: {}", instance.id, instance.state, reason.trim_end_matches('.')),
        remedy: "Apply again for a new one, after the cause is removed: a key that the account may not use, a volume quota, a \
                 broken image."
            .to_owned(),
    }
}
