// SPDX-License-Identifier: MPL-2.0
//! What can be known to be wrong with a launch while it is planned: AWS is asked, and nothing is made. What is not known yet is
//! looked at by the launch.

use std::collections::BTreeSet;

use drbd_ec2::{Ec2, Ec2Error, Image, ImageChoice, PlaceChoice};
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::model;
use super::told;
use crate::provider::Configured;

/// The parts of a launch that are known.
#[derive(Debug, Default)]
struct Asked {
    place: Option<PlaceChoice>,
    image: Option<ImageChoice>,
    instance_type: Option<String>,
    key_name: Option<String>,
    groups: BTreeSet<String>,
}

/// Everything that is wrong with the launch of a planned node.
pub(crate) async fn preflight(configured: &Configured, node: &Value) -> Diagnostics {
    let asked = match Asked::read(node) {
        Ok(asked) => asked,
        Err(problem) => return problem.into(),
    };
    // A provider block that is not known yet cannot ask.
    let Ok(ec2) = configured.ec2() else { return Diagnostics::new() };
    let name = node.get("name").as_str().unwrap_or_default();
    asked.ask(ec2, name).await
}

impl Asked {
    fn read(node: &Value) -> Result<Self, Diagnostic> {
        let ec2 = node.get("ec2");
        let r = ec2.reader_at(Path::of("ec2"))?;
        let known = |names: &[&str]| names.iter().all(|name| ec2.get(name).is_wholly_known());
        let mut asked = Self::default();
        if known(&["subnet_id", "availability_zone"]) {
            asked.place = Some(PlaceChoice {
                subnet_id: r.get("subnet_id")?,
                availability_zone: r.get("availability_zone")?,
            });
        }
        if known(&["image_id", "image_ssm_parameter", "image"]) {
            asked.image = Some(model::image(&r)?);
        }
        if known(&["instance_type"]) {
            asked.instance_type = r.get("instance_type")?;
        }
        if known(&["key_name"]) {
            asked.key_name = r.get("key_name")?;
        }
        if known(&["security_group_ids"]) {
            let groups = r.get::<Option<Vec<String>>>("security_group_ids")?;
            asked.groups = groups.unwrap_or_default().into_iter().collect();
        }
        Ok(asked)
    }

    async fn ask(&self, ec2: &Ec2, name: &str) -> Diagnostics {
        let mut all = Diagnostics::new();
        let mut note = |member: &str, done: Result<(), Ec2Error>| match done {
            Ok(()) => true,
            Err(error) => {
                all.push(told(&error, name).at(Path::of("ec2").attribute(member)));
                // Who cannot ask once cannot ask at all.
                !matches!(error, Ec2Error::NoAnswer { .. })
            }
        };
        let (where_, groups) = self.place(ec2).await;
        if !note("subnet_id", where_) || !note("security_group_ids", groups) {
            return all;
        }
        let (image, machine) = self.machine(ec2).await;
        if !note("image_id", image) || !note("instance_type", machine) {
            return all;
        }
        if let Some(key) = &self.key_name {
            note("key_name", ec2.check_key_pair(key).await);
        }
        all
    }

    async fn place(&self, ec2: &Ec2) -> (Result<(), Ec2Error>, Result<(), Ec2Error>) {
        let Some(choice) = &self.place else { return (Ok(()), Ok(())) };
        match ec2.place(choice).await {
            Ok(place) => (Ok(()), ec2.groups_in(&place.vpc_id, &self.groups).await),
            Err(error) => (Err(error), Ok(())),
        }
    }

    async fn machine(&self, ec2: &Ec2) -> (Result<(), Ec2Error>, Result<(), Ec2Error>) {
        // Any machine runs an image of which nothing is known.
        let unknown = Image { id: String::new(), architecture: None, root_device: None };
        let (image, found) = match &self.image {
            None => (unknown, Ok(())),
            Some(choice) => match ec2.image(choice).await {
                Ok(image) => (image, Ok(())),
                Err(error) => (unknown, Err(error)),
            },
        };
        let Some(instance_type) = &self.instance_type else { return (found, Ok(())) };
        (found, ec2.check_machine(instance_type, &image).await)
    }
}
