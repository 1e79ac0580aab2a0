// SPDX-License-Identifier: MPL-2.0
//! Which image an instance starts from, and what type of machine can run it. Decided once, when an instance is launched:
//! a newer image later is no reason to replace a node that holds data.

use aws_sdk_ec2::types::{Filter, InstanceType};

use crate::client::Ec2;
use crate::error::Ec2Error;
use crate::words::text;

/// How an image is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageChoice {
    /// By id: `ami-…`.
    Id(String),
    /// The one that an SSM parameter names. EC2 itself resolves it at launch.
    SsmParameter(String),
    /// The newest whose name matches.
    Newest {
        /// Account ids, or `amazon`, `self`.
        owners: Vec<String>,
        /// Name with `*` and `?`.
        name: String,
    },
}

/// An image to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id, or `resolve:ssm:<parameter>`.
    pub id: String,
    /// For example `x86_64`; not known of a parameter.
    pub architecture: Option<String>,
    /// Device name of its root disk; not known of a parameter.
    pub root_device: Option<String>,
}

/// What is known of a type of machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) architectures: Vec<String>,
    /// Whether disks are Xen's (`/dev/xvdf`) and not NVMe.
    pub(crate) xen: bool,
}

impl Ec2 {
    /// The image of a choice.
    ///
    /// # Errors
    /// When there is none, or EC2 could not be asked.
    pub async fn image(&self, choice: &ImageChoice) -> Result<Image, Ec2Error> {
        let call = self.client().await.describe_images();
        let (call, what) = match choice {
            ImageChoice::SsmParameter(name) => {
                let id = format!("resolve:ssm:{name}");
                return Ok(Image { id, architecture: None, root_device: None });
            }
            ImageChoice::Id(id) => (call.image_ids(id), format!("the id {id}")),
            ImageChoice::Newest { owners, name } => {
                let filter = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
                let call = call
                    .set_owners(Some(owners.clone()))
                    .filters(filter("name", name))
                    .filters(filter("state", "available"));
                (call, format!("the name {name:?} of {}", owners.join(", ")))
            }
        };
        let found = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let mut found = found.map_err(|error| Ec2Error::of(format!("DescribeImages with {what}"), error))?;
        // ISO dates sort as text; the id decides between equal ones, so that the answer is always the same.
        found.sort_by_key(|image| (text(image.creation_date()), text(image.image_id())));
        let newest = found.pop().and_then(|image| {
            Some(Image {
                id: text(image.image_id())?,
                architecture: image.architecture().map(|word| word.as_str().to_owned()),
                root_device: text(image.root_device_name()),
            })
        });
        newest.ok_or_else(|| {
            Ec2Error::refused(
                format!("There is no image with {what} in this region"),
                "Images belong to one region and can be withdrawn: check region, owner and name.",
            )
        })
    }

    /// Checks that a type of machine exists here, and runs an image.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] when it does not; when EC2 could not be asked.
    pub async fn check_machine(&self, instance_type: &str, image: &Image) -> Result<(), Ec2Error> {
        self.machine(instance_type).await?.runs(image, instance_type)
    }

    /// Checks that a key pair exists here.
    ///
    /// # Errors
    /// When it does not, or EC2 could not be asked.
    pub async fn check_key_pair(&self, name: &str) -> Result<(), Ec2Error> {
        let asked = self.client().await.describe_key_pairs().key_names(name).send().await;
        asked.map(drop).map_err(|error| Ec2Error::of(format!("DescribeKeyPairs of {name}"), error))
    }

    pub(crate) async fn machine(&self, instance_type: &str) -> Result<Machine, Ec2Error> {
        let call =
            self.client().await.describe_instance_types().instance_types(InstanceType::from(instance_type));
        let found = call
            .send()
            .await
            .map_err(|error| Ec2Error::of(format!("DescribeInstanceTypes of {instance_type}"), error))?;
        let Some(told) = found.instance_types().first() else {
            return Err(Ec2Error::refused(
                format!("There is no instance type {instance_type} in this region"),
                "Check instance_type.",
            ));
        };
        let architectures =
            told.processor_info().map(|info| info.supported_architectures()).unwrap_or_default();
        Ok(Machine {
            architectures: architectures.iter().map(|word| word.as_str().to_owned()).collect(),
            xen: told.hypervisor().is_some_and(|word| word.as_str() == "xen"),
        })
    }
}

impl Machine {
    /// Whether this machine runs that image.
    ///
    /// # Errors
    /// [`Ec2Error::Refused`] with both architectures.
    pub(crate) fn runs(&self, image: &Image, instance_type: &str) -> Result<(), Ec2Error> {
        let Some(wanted) = &image.architecture else { return Ok(()) };
        if self.architectures.is_empty() || self.architectures.contains(wanted) {
            return Ok(());
        }
        let can = self.architectures.join(" and ");
        Err(Ec2Error::refused(
            format!(
                "The image {} is for {wanted}, and the instance type {instance_type} runs {can}",
                image.id
            ),
            "Choose an image and a type of one architecture.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_for_another_architecture_is_refused_before_the_launch() {
        let machine = Machine { architectures: vec!["arm64".into()], xen: false };
        let image = |word: Option<&str>| Image {
            id: "ami-1".into(),
            architecture: word.map(str::to_owned),
            root_device: None,
        };
        assert!(machine.runs(&image(Some("arm64")), "m7g.large").is_ok());
        assert!(machine.runs(&image(None), "m7g.large").is_ok());
        let said = machine.runs(&image(Some("x86_64")), "m7g.large").unwrap_err().to_string();
        assert!(said.contains("x86_64") && said.contains("arm64") && said.contains("m7g.large"), "{said}");
    }
}
