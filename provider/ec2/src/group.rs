// SPDX-License-Identifier: MPL-2.0
//! Security groups: made once, found again by name and tags, their rules brought to what is wanted, removed when nothing uses
//! them. EC2 takes no client token for them; a name is unique in its network instead.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::types::{self, Filter, ResourceType};

use crate::client::Ec2;
use crate::error::{Ec2Error, Kind};
use crate::gate::{Gate, Look};
use crate::rules::{self, Rule};
use crate::tags::{self, Tags};
use crate::words::text;

/// EC2 lists what it made within seconds.
const LISTED_DEADLINE: Duration = Duration::from_secs(60);
/// Interfaces of instances that were terminated go within a minute or two.
const FREE_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// How often rules are compared again, because somebody else changed some meanwhile.
const ROUNDS: usize = 4;
const DESCRIPTION: &str = "Replication between DRBD hosts";

/// A security group as the API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    /// `sg-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its network.
    pub vpc_id: String,
    /// What it lets in.
    pub rules: BTreeSet<Rule>,
    /// Tags.
    pub tags: Tags,
}

/// What a group is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// The network (`vpc-…`) in which its name is unique.
    pub vpc_id: String,
    /// Its name.
    pub name: String,
}

impl GroupName {
    fn tags(&self) -> Tags {
        [("Name", &self.name), (tags::GROUP, &self.name), (tags::SCOPE, &self.vpc_id)]
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .into()
    }

    fn owns(&self, tags: &Tags) -> bool {
        self.tags().iter().all(|(key, value)| key == "Name" || tags.get(key) == Some(value))
    }
}

impl SecurityGroup {
    fn read(api: &types::SecurityGroup) -> Option<Self> {
        Some(Self {
            id: text(api.group_id())?,
            name: text(api.group_name())?,
            vpc_id: text(api.vpc_id())?,
            rules: rules::read(api.ip_permissions()),
            tags: tags::read(api.tags()),
        })
    }

    /// What it is found by.
    pub fn group_name(&self) -> GroupName {
        GroupName { vpc_id: self.vpc_id.clone(), name: self.name.clone() }
    }
}

impl Ec2 {
    /// A group as it is now; `None` when EC2 says that there is none.
    ///
    /// # Errors
    /// When EC2 could not be asked.
    pub async fn security_group(&self, id: &str) -> Result<Option<SecurityGroup>, Ec2Error> {
        let asked = self.client().await.describe_security_groups().group_ids(id).send().await;
        match asked.map_err(|error| Ec2Error::of(format!("DescribeSecurityGroups of {id}"), error)) {
            Ok(found) => Ok(found.security_groups().iter().find_map(SecurityGroup::read)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn group_named(&self, wanted: &GroupName) -> Result<Option<SecurityGroup>, Ec2Error> {
        let filter = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
        let call = self.client().await.describe_security_groups();
        let call = call.filters(filter("vpc-id", &wanted.vpc_id)).filters(filter("group-name", &wanted.name));
        let found = call.send().await.map_err(|error| {
            Ec2Error::of(format!("DescribeSecurityGroups of {} in {}", wanted.name, wanted.vpc_id), error)
        })?;
        Ok(found.security_groups().iter().filter_map(SecurityGroup::read).find(|one| one.name == wanted.name))
    }

    /// The group of this name: the one that an earlier run began to make, else a new one without rules. At most one ever exists.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when there is one that is not ours, or that was finished ([`Self::mark_group_finished`]); what EC2
    /// refuses.
    pub async fn ensure_group(&self, wanted: &GroupName, of_users: &Tags) -> Result<SecurityGroup, Ec2Error> {
        if let Some(there) = self.group_named(wanted).await? {
            return unfinished(wanted, there);
        }
        let tags = tags::under(wanted.tags(), &[self.default_tags(), of_users]);
        let changing = self.changing().await;
        let call = changing
            .create_security_group()
            .group_name(&wanted.name)
            .description(DESCRIPTION)
            .vpc_id(&wanted.vpc_id)
            .tag_specifications(tags::specification(ResourceType::SecurityGroup, &tags));
        let what = format!("CreateSecurityGroup of {} in {}", wanted.name, wanted.vpc_id);
        match call.send().await.map_err(|error| Ec2Error::of(what.clone(), error)) {
            Ok(answer) => {
                let id = text(answer.group_id()).ok_or_else(|| Ec2Error::Broken {
                    what: format!("{what}: AWS answered without an id"),
                    remedy: "Apply again: what was made is found by its name.".to_owned(),
                })?;
                self.group_listed(&id).await
            }
            // The answer to the first attempt of this very call was lost, or somebody else was quicker.
            Err(error) if error.kind() == Kind::Exists => match self.group_named(wanted).await? {
                Some(there) => unfinished(wanted, there),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn group_listed(&self, id: &str) -> Result<SecurityGroup, Ec2Error> {
        let gate = Gate::new(
            "security group listed",
            id,
            LISTED_DEADLINE,
            "Apply again: what was made is found by its name.",
        );
        let looked = gate.pass(|| async {
            let found = self.security_group(id).await?;
            Ok(found.map_or_else(|| Look::NotYet("EC2 does not list it yet".to_owned()), Look::Passed))
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// Refuses groups that do not exist, or are not in this network, before anything refers to them.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] with the first such group.
    pub async fn groups_in(&self, vpc_id: &str, ids: &BTreeSet<String>) -> Result<(), Ec2Error> {
        for id in ids {
            match self.security_group(id).await? {
                Some(group) if group.vpc_id == vpc_id => (),
                Some(group) => {
                    return Err(Ec2Error::refused(
                        format!("The security group {id} is in {}, and not in {vpc_id}", group.vpc_id),
                        "Name a group of the same VPC; hosts in another one are let in by cidr_blocks.",
                    ));
                }
                None => {
                    return Err(Ec2Error::refused(
                        format!("There is no security group {id} in this region"),
                        "Check security_group_ids, the region and the account.",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Brings the rules of a group to those that are wanted. Of the others, those go that `surplus` picks.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when the group is not ours; what EC2 refuses.
    pub async fn set_rules(
        &self,
        wanted_group: &GroupName,
        id: &str,
        wanted: &BTreeSet<Rule>,
        surplus: impl Fn(&Rule) -> bool,
    ) -> Result<SecurityGroup, Ec2Error> {
        let mut last = None;
        for _ in 0..ROUNDS {
            let group = self.owned_group(wanted_group, id).await?.ok_or_else(|| gone(id))?;
            let missing: Vec<&Rule> = wanted.difference(&group.rules).collect();
            let extra: Vec<&Rule> = group.rules.difference(wanted).filter(|rule| surplus(rule)).collect();
            if missing.is_empty() && extra.is_empty() {
                return Ok(group);
            }
            // What is there, or gone, by now is compared again in the next round.
            for done in [self.authorize(id, &missing).await, self.revoke(id, &extra).await] {
                match done {
                    Err(error) if error.kind() != Kind::Exists && !error.is_not_found() => {
                        return Err(error);
                    }
                    Err(error) => last = Some(error),
                    Ok(()) => (),
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            Ec2Error::refused(
                format!("The rules of {id} did not stay as they were set"),
                "Somebody else changes them at the same time: find out who, and apply again.",
            )
        }))
    }

    async fn authorize(&self, id: &str, rules: &[&Rule]) -> Result<(), Ec2Error> {
        if rules.is_empty() {
            return Ok(());
        }
        let call = self.changing().await;
        let call = call.authorize_security_group_ingress().group_id(id);
        let call = call.set_ip_permissions(Some(rules::write(rules.iter().copied())));
        let what = || format!("AuthorizeSecurityGroupIngress of {id}");
        call.send().await.map(drop).map_err(|error| Ec2Error::of(what(), error))
    }

    async fn revoke(&self, id: &str, rules: &[&Rule]) -> Result<(), Ec2Error> {
        if rules.is_empty() {
            return Ok(());
        }
        let call = self.changing().await;
        let call = call.revoke_security_group_ingress().group_id(id);
        let call = call.set_ip_permissions(Some(rules::write(rules.iter().copied())));
        let what = || format!("RevokeSecurityGroupIngress of {id}");
        call.send().await.map(drop).map_err(|error| Ec2Error::of(what(), error))
    }

    async fn owned_group(&self, wanted: &GroupName, id: &str) -> Result<Option<SecurityGroup>, Ec2Error> {
        let found = self.security_group(id).await?;
        match &found {
            Some(group) if !wanted.owns(&group.tags) => Err(Ec2Error::refused(
                format!(
                    "The security group {id} does not carry the tags {}={} and {}={}",
                    tags::GROUP,
                    wanted.name,
                    tags::SCOPE,
                    wanted.vpc_id
                ),
                "Somebody changed its tags, or it is somebody else's: import it if it shall be this one, or remove it from the state.",
            )),
            _ => Ok(found),
        }
    }

    /// The tags that a group should have, and has not.
    pub fn group_tags_missing(&self, group: &SecurityGroup, of_users: &Tags) -> Tags {
        let wanted = tags::under(group.group_name().tags(), &[self.default_tags(), of_users]);
        wanted.into_iter().filter(|(key, value)| group.tags.get(key) != Some(value)).collect()
    }

    /// The tags of a group that users gave it: not ours, not AWS's, not those of the provider block.
    pub fn group_tags_of_users(&self, group: &SecurityGroup) -> Tags {
        let of_users = group.tags.iter().filter(|(key, value)| {
            let name = *key == "Name" && **value == group.name;
            !tags::is_reserved(key) && !name && self.default_tags().get(*key) != Some(*value)
        });
        of_users.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Brings the tags of our group to those of users: `before` are those that a user no longer wants.
    ///
    /// # Errors
    /// What EC2 refuses.
    pub async fn tag_group(
        &self,
        group: &SecurityGroup,
        before: &Tags,
        of_users: &Tags,
    ) -> Result<(), Ec2Error> {
        self.mark(&group.id, self.group_tags_missing(group, of_users)).await?;
        let wanted = tags::under(group.group_name().tags(), &[self.default_tags(), of_users]);
        let surplus = before.iter().filter(|(key, _)| {
            !wanted.contains_key(*key) && group.tags.contains_key(*key) && !tags::is_reserved(key)
        });
        let surplus: Tags = surplus.map(|(key, value)| (key.clone(), value.clone())).collect();
        if surplus.is_empty() {
            return Ok(());
        }
        let call = self.changing().await;
        let call = call.delete_tags().resources(&group.id).set_tags(Some(tags::write(&surplus)));
        let what = || format!("DeleteTags of {}", group.id);
        call.send().await.map(drop).map_err(|error| Ec2Error::of(what(), error))
    }

    /// Marks a group as one whose making was brought to its end, and whose id somebody knows.
    ///
    /// # Errors
    /// What EC2 refuses.
    pub async fn mark_group_finished(&self, group: &SecurityGroup) -> Result<(), Ec2Error> {
        if group.tags.contains_key(tags::FINISHED) {
            return Ok(());
        }
        self.mark(&group.id, Tags::from([(tags::FINISHED.to_owned(), "true".to_owned())])).await
    }

    /// Whether somebody else's group can become ours. Asks nobody.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] for a network's default group, which cannot be deleted.
    pub fn group_adoptable(&self, group: &SecurityGroup) -> Result<(), Ec2Error> {
        if group.name == "default" {
            return Err(Ec2Error::refused(
                format!("{} is the default group of {}", group.id, group.vpc_id),
                "It stays with its network and cannot be deleted: make a group of its own for DRBD hosts.",
            ));
        }
        Ok(())
    }

    /// Makes somebody else's group ours, by its tags.
    ///
    /// # Errors
    /// Those of [`Self::group_adoptable`]; what EC2 refuses.
    pub async fn adopt_group(&self, group: &SecurityGroup) -> Result<(), Ec2Error> {
        self.group_adoptable(group)?;
        let mut wanted = group.group_name().tags();
        wanted.insert(tags::FINISHED.to_owned(), "true".to_owned());
        let missing = wanted.into_iter().filter(|(key, value)| match group.tags.get(key) {
            Some(_) if key == "Name" => false,
            found => found != Some(value),
        });
        self.mark(&group.id, missing.collect()).await
    }

    /// Deletes a group once nothing uses it; done when it is gone already.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it is not ours; when it is still used after a while, with by what.
    pub async fn delete_group(&self, wanted: &GroupName, id: &str) -> Result<(), Ec2Error> {
        self.delete_group_within(wanted, id, FREE_DEADLINE).await
    }

    /// The same with a deadline.
    ///
    /// # Errors
    /// As above.
    pub async fn delete_group_within(
        &self,
        wanted: &GroupName,
        id: &str,
        within: Duration,
    ) -> Result<(), Ec2Error> {
        if self.owned_group(wanted, id).await?.is_none() {
            return Ok(());
        }
        let gate = Gate::new(
            "security group used by nothing",
            id,
            within,
            "Take it off these interfaces and out of these groups' rules, and apply again. It was not deleted.",
        );
        let looked = gate.pass(|| async {
            let call = self.changing().await;
            let asked = call.delete_security_group().group_id(id).send().await;
            match asked.map_err(|error| Ec2Error::of(format!("DeleteSecurityGroup of {id}"), error)) {
                Ok(_) => Ok(Look::Passed(())),
                Err(error) if error.is_not_found() => Ok(Look::Passed(())),
                Err(error) if error.kind() == Kind::InUse => Ok(Look::NotYet(self.users_of(id).await?)),
                Err(error) => Err(error),
            }
        });
        looked.await.map_err(Ec2Error::stuck)
    }

    /// What uses a group, in words.
    async fn users_of(&self, id: &str) -> Result<String, Ec2Error> {
        let filter = |key: &str| Filter::builder().name(key).values(id).build();
        let client = self.client().await;
        let interfaces = client.describe_network_interfaces().filters(filter("group-id")).send().await;
        let interfaces = interfaces
            .map_err(|error| Ec2Error::of(format!("DescribeNetworkInterfaces with {id}"), error))?;
        let groups = client.describe_security_groups().filters(filter("ip-permission.group-id")).send().await;
        let groups =
            groups.map_err(|error| Ec2Error::of(format!("DescribeSecurityGroups with {id}"), error))?;
        let mut users: Vec<String> = interfaces
            .network_interfaces()
            .iter()
            .filter_map(|interface| {
                let on = interface.attachment().and_then(|attachment| text(attachment.instance_id()));
                Some(match on {
                    Some(instance) => format!("{} of {instance}", text(interface.network_interface_id())?),
                    None => text(interface.network_interface_id())?,
                })
            })
            .collect();
        let referring = groups.security_groups().iter().filter_map(|group| text(group.group_id()));
        users.extend(referring.filter(|group| group != id).map(|group| format!("rules of {group}")));
        users.sort();
        Ok(if users.is_empty() {
            "used by something that EC2 does not name".to_owned()
        } else {
            format!("used by {}", users.join(", "))
        })
    }
}

/// A group of this name, when an earlier run began to make it.
fn unfinished(wanted: &GroupName, there: SecurityGroup) -> Result<SecurityGroup, Ec2Error> {
    let what =
        format!("There is a security group {} in {} already: {}", wanted.name, wanted.vpc_id, there.id);
    if !wanted.owns(&there.tags) {
        return Err(Ec2Error::refused(
            format!("{what}, which is not ours"),
            "Choose another name, or import it.",
        ));
    }
    if there.tags.contains_key(tags::FINISHED) {
        return Err(Ec2Error::refused(
            what,
            "It is another configuration's, or should be imported; else choose another name.",
        ));
    }
    Ok(there)
}

fn gone(id: &str) -> Ec2Error {
    Ec2Error::refused(format!("There is no security group {id}"), "Refresh, and look at the plan.")
}
