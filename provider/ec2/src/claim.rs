// SPDX-License-Identifier: MPL-2.0
//! Which run an unfinished instance belongs to. Two runs can make a node of one name at once, knowing nothing of each other,
//! and a run that was cut leaves an instance to the next one: each marks what it makes or takes over, and only the one whose
//! mark is there at the end may keep it.

use std::time::Duration;

use crate::client::Ec2;
use crate::error::Ec2Error;
use crate::gate::{Gate, Look, Stuck};
use crate::tags::{self, Owner, Tags};
use crate::words::Instance;

/// EC2 lists what it made within seconds. This long is waited for an instance that another run may have launched.
const LISTED_DEADLINE: Duration = Duration::from_secs(10);

impl Ec2 {
    /// An instance that a run did not finish, from now on this run's. A run that still works on it is told at its end.
    pub(crate) async fn take_over(&self, owner: &Owner, mut one: Instance) -> Result<Instance, Ec2Error> {
        let Owner { node, scope } = owner;
        if one.tags.contains_key(tags::FINISHED) {
            return Err(Ec2Error::refused(
                format!("There is a node {node} in {scope} already: the instance {}", one.id),
                "Two nodes of one name cannot replicate in one network: choose another name, import this instance, or terminate it.",
            ));
        }
        if !self.began(&one) {
            self.mark(&one.id, Tags::from([(tags::RUN.to_owned(), self.run().to_owned())])).await?;
            one.tags.insert(tags::RUN.to_owned(), self.run().to_owned());
        }
        Ok(one)
    }

    /// Whether this run made the instance, or took it over.
    pub(crate) fn began(&self, instance: &Instance) -> bool {
        instance.tags.get(tags::RUN).is_some_and(|run| run == self.run())
    }

    /// Marks an instance that this run made, or took over, as finished, and whose id somebody knows.
    ///
    /// # Errors
    /// [`Ec2Error::TakenOver`] when another run took it meanwhile: it is that one's; [`Ec2Error::Refused`] when there is
    /// another instance of the owner; what EC2 refuses.
    pub async fn finish(&self, owner: &Owner, instance: &Instance) -> Result<(), Ec2Error> {
        let listed = self.instances_of(owner).await?;
        let there: Vec<_> = listed.into_iter().filter(|one| !one.state.is_gone()).collect();
        if there.iter().any(|one| one.id != instance.id) {
            return Err(several(owner, there.iter()));
        }
        match there.first() {
            Some(now) if !self.began(now) || now.tags.contains_key(tags::FINISHED) => {
                Err(taken_over(owner, &now.id, "took over"))
            }
            // Not listed: whoever needs it next will see what became of it.
            _ => self.mark_finished(instance).await,
        }
    }

    /// Marks an instance as one whose making was brought to its end, and whose id somebody knows.
    ///
    /// # Errors
    /// What EC2 refuses.
    pub async fn mark_finished(&self, instance: &Instance) -> Result<(), Ec2Error> {
        if instance.tags.contains_key(tags::FINISHED) {
            return Ok(());
        }
        self.mark(&instance.id, Tags::from([(tags::FINISHED.to_owned(), "true".to_owned())])).await
    }

    /// The instance that another run got for a token, as soon as EC2 lists it; none when it is gone already.
    pub(crate) async fn of_another_run(&self, owner: &Owner) -> Result<Option<Instance>, Ec2Error> {
        let gate = Gate::new("instance listed", &owner.node, LISTED_DEADLINE, "");
        let looked = gate.pass(|| async {
            let living = self.instances_of(owner).await?.into_iter().find(|one| !one.state.is_gone());
            Ok(living.map_or_else(|| Look::NotYet("EC2 does not list it".to_owned()), Look::Passed))
        });
        match looked.await {
            Ok(instance) => Ok(Some(instance)),
            Err(Stuck::Overdue(_)) => Ok(None),
            Err(Stuck::Failed(error)) => Err(error),
        }
    }
}

pub(crate) fn several<'i>(owner: &Owner, instances: impl Iterator<Item = &'i Instance>) -> Ec2Error {
    let ids: Vec<_> = instances.map(|instance| instance.id.as_str()).collect();
    Ec2Error::refused(
        format!(
            "Several instances carry the tags of the node {} in {}: {}",
            owner.node,
            owner.scope,
            ids.join(", ")
        ),
        "Terminate those that are not this node's, or take the replivol: tags off them.",
    )
}

pub(crate) fn taken_over(owner: &Owner, id: &str, did: &str) -> Ec2Error {
    Ec2Error::TakenOver {
        what: format!(
            "Another run {did} the instance {id} of the node {} in {}, and has it now; it was not touched here",
            owner.node, owner.scope
        ),
        remedy: "Let one configuration alone make a node of this name. If no other run is at work, the one before this was cut: apply \
                 again, and it is taken over."
            .to_owned(),
    }
}
