// SPDX-License-Identifier: MPL-2.0
//! Places inside a value. Which part of a place Terraform can point at is decided in `server/answer.rs`.

use std::fmt;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A member of an object: an attribute or a block type.
    Attribute(String),
    /// An entry of a map.
    Key(String),
    /// An element of a list.
    Index(usize),
    /// Some element of a set. The protocol has no step for it; a wire path ends before it.
    SetElement,
}

/// A place inside a value, from its root. Displayed as `disks[0].labels["zone"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    steps: Vec<Step>,
}

impl Path {
    /// The value itself.
    pub fn root() -> Path {
        Path::default()
    }

    /// A top-level attribute.
    pub fn of(attribute: &str) -> Path {
        Path::root().attribute(attribute)
    }

    /// The member `name` of the object at this place.
    pub fn attribute(&self, name: &str) -> Path {
        self.step(Step::Attribute(name.to_owned()))
    }

    /// The element number `index`, from 0, of the list at this place.
    pub fn index(&self, index: usize) -> Path {
        self.step(Step::Index(index))
    }

    /// The entry `key` of the map at this place.
    pub fn key(&self, key: &str) -> Path {
        self.step(Step::Key(key.to_owned()))
    }

    /// Some element of the set at this place.
    pub fn set_element(&self) -> Path {
        self.step(Step::SetElement)
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether this is the value itself.
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn step(&self, step: Step) -> Path {
        let mut steps = self.steps.clone();
        steps.push(step);
        Path { steps }
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Path { steps: steps.into_iter().collect() }
    }
}

/// A place inside a value while it is walked, made of what the walk has at hand: only a walk that finds something wrong
/// pays for a [`Path`].
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Where the walk began.
    Start(&'a Path),
    /// One step from another place.
    Below(&'a Place<'a>, Toward<'a>),
}

/// A [`Step`] that owns nothing.
#[derive(Clone, Copy)]
pub(crate) enum Toward<'a> {
    Attribute(&'a str),
    Key(&'a str),
    Index(usize),
    SetElement,
}

impl<'a> Place<'a> {
    pub(crate) fn attribute(&'a self, name: &'a str) -> Place<'a> {
        Place::Below(self, Toward::Attribute(name))
    }

    pub(crate) fn index(&'a self, index: usize) -> Place<'a> {
        Place::Below(self, Toward::Index(index))
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Place<'a> {
        Place::Below(self, Toward::Key(key))
    }

    pub(crate) fn set_element(&'a self) -> Place<'a> {
        Place::Below(self, Toward::SetElement)
    }
}

impl From<&Place<'_>> for Path {
    fn from(place: &Place<'_>) -> Path {
        match place {
            Place::Start(path) => (*path).clone(),
            Place::Below(above, toward) => Path::from(*above).step(match toward {
                Toward::Attribute(name) => Step::Attribute((*name).to_owned()),
                Toward::Key(key) => Step::Key((*key).to_owned()),
                Toward::Index(index) => Step::Index(*index),
                Toward::SetElement => Step::SetElement,
            }),
        }
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Path {
        path.clone()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps.iter().enumerate() {
            match step {
                Step::Attribute(name) if position == 0 => f.write_str(name)?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::SetElement => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_reads_like_the_configuration() {
        let path = Path::of("disks").index(0).attribute("labels").key("zo\"ne");
        assert_eq!(path.to_string(), r#"disks[0].labels["zo\"ne"]"#);
        assert_eq!(Path::of("tags").set_element().attribute("name").to_string(), "tags[*].name");
        assert_eq!(Path::root().to_string(), "");
    }

    #[test]
    fn a_place_is_the_path_to_it() {
        let start = Path::of("disks");
        let disks = Place::Start(&start);
        let first = disks.index(0);
        let tags = first.key("tags");
        let path = Path::of("disks").index(0).key("tags").set_element();
        assert_eq!(Path::from(&tags.set_element()), path);
        assert_eq!(Path::from(&disks.attribute("size")), Path::of("disks").attribute("size"));
    }
}
