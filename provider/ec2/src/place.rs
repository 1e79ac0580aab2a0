// SPDX-License-Identifier: MPL-2.0
//! Where an instance goes: subnet, zone and network that belong together.

use aws_sdk_ec2::types::Filter;

use crate::client::Ec2;
use crate::error::Ec2Error;
use crate::words::text;

/// What a user says about the place. One of both is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceChoice {
    /// The subnet.
    pub subnet_id: Option<String>,
    /// The zone; without a subnet its default subnet is taken.
    pub availability_zone: Option<String>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The subnet.
    pub subnet_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Its network.
    pub vpc_id: String,
}

impl Ec2 {
    /// The place of a choice.
    ///
    /// # Errors
    /// When there is no such subnet, or subnet and zone do not belong together.
    pub async fn place(&self, choice: &PlaceChoice) -> Result<Place, Ec2Error> {
        let call = self.client().await.describe_subnets();
        let filter = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
        let (call, what) = match (&choice.subnet_id, &choice.availability_zone) {
            (Some(id), _) => (call.subnet_ids(id), format!("of {id}")),
            (None, Some(zone)) => (
                call.filters(filter("availability-zone", zone)).filters(filter("default-for-az", "true")),
                format!("of the default subnet of {zone}"),
            ),
            (None, None) => {
                return Err(Ec2Error::refused("Neither a subnet nor a zone is given", "Set ec2.subnet_id."));
            }
        };
        let found =
            call.send().await.map_err(|error| Ec2Error::of(format!("DescribeSubnets {what}"), error))?;
        let place = found.subnets().first().and_then(|subnet| {
            Some(Place {
                subnet_id: text(subnet.subnet_id())?,
                availability_zone: text(subnet.availability_zone())?,
                vpc_id: text(subnet.vpc_id())?,
            })
        });
        let place = place.ok_or_else(|| {
            Ec2Error::refused(
                format!("DescribeSubnets {what} found none in this region"),
                "Set ec2.subnet_id to a subnet of this region; accounts can be without default subnets.",
            )
        })?;
        place.fits(choice)
    }
}

impl Place {
    fn fits(self, choice: &PlaceChoice) -> Result<Self, Ec2Error> {
        match &choice.availability_zone {
            Some(zone) if *zone != self.availability_zone => Err(Ec2Error::refused(
                format!("The subnet {} is in {}, and not in {zone}", self.subnet_id, self.availability_zone),
                "Leave ec2.availability_zone out, or choose a subnet of that zone.",
            )),
            _ => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_of_another_zone_is_refused() {
        let place = Place {
            subnet_id: "subnet-1".into(),
            availability_zone: "us-west-2a".into(),
            vpc_id: "vpc-1".into(),
        };
        let choice =
            |zone: &str| PlaceChoice { availability_zone: Some(zone.into()), ..PlaceChoice::default() };
        assert!(place.clone().fits(&choice("us-west-2a")).is_ok());
        let said = place.fits(&choice("us-west-2b")).unwrap_err().to_string();
        assert!(
            said.contains("subnet-1") && said.contains("us-west-2a") && said.contains("us-west-2b"),
            "{said}"
        );
    }
}
