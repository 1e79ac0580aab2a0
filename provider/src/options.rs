// SPDX-License-Identifier: MPL-2.0
//! The `options`, `net` and `disk` attributes: DRBD's options as maps, checked against the contract's table.

use std::collections::BTreeMap;

use drbd_schemas::invalid::did_you_mean;
use drbd_schemas::options::{self, InDisk, InNet, InOptions, InSection, OptionSet, Section};
use tfplugin::{Attribute, Diagnostic, Diagnostics, Path, Type, Value};

/// The attribute of one section.
pub(crate) fn attribute(section: Section) -> Attribute {
    let keyword = section.keyword();
    let what = match section {
        Section::Options => "the resource as a whole",
        Section::Net => "every connection",
        Section::Disk => "every backing disk",
    };
    Attribute::of(keyword, Type::map(Type::String))
        .optional()
        .semantic_eq(move |a, b| same(section, a, b))
        .validate(move |value, path, diagnostics| check(section, value, path, diagnostics))
        .description(format!(
            "DRBD options of {what} (section `{keyword}` of drbd.conf), by DRBD's own names; `_` is taken for `-`. An option that \
             is not set keeps DRBD's default."
        ))
}

/// Names and values that DRBD reads alike are alike: `max_buffers` and `max-buffers`, `true` and `yes`.
fn same(section: Section, a: &Value, b: &Value) -> bool {
    let canonical = |map: &Value| -> Option<BTreeMap<&'static str, String>> {
        let spell = |(name, value): (&tfplugin::SmolStr, &Value)| {
            let info = options::find(section, name)?;
            Some((info.name, info.kind.parse(value.as_str()?).ok()?))
        };
        map.members()?.iter().map(spell).collect()
    };
    canonical(a).is_some_and(|a| Some(a) == canonical(b))
}

fn check(section: Section, value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in value.members().into_iter().flatten() {
        let at = path.key(name);
        let Some(info) = options::find(section, name) else {
            diagnostics.push(unknown(section, name, &at));
            continue;
        };
        if let Some(other) = seen.insert(info.name, name) {
            let detail = format!("{path} sets {} twice, as {other:?} and as {name:?}.", info.name);
            diagnostics.error_at(&at, "Option set twice", detail);
        }
        if let Some(text) = value.as_str()
            && let Err(allowed) = info.kind.parse(text)
        {
            let detail = format!("{at} is {text:?}; allowed: {allowed}. {}.", info.description);
            diagnostics.error_at(&at, "Value not allowed", detail);
        }
    }
}

fn unknown(section: Section, name: &str, at: &Path) -> Diagnostic {
    let known = || options::section_options(section).map(|info| info.name);
    let elsewhere = [Section::Options, Section::Net, Section::Disk]
        .into_iter()
        .find(|other| options::find(*other, name).is_some())
        .map(|other| format!(" It belongs into {:?}.", other.keyword()));
    let hyphened = name.replace('_', "-");
    let near = did_you_mean(&hyphened, known()).map(|near| format!(" Did you mean {near:?}?"));
    let hint = elsewhere
        .or(near)
        .unwrap_or_else(|| format!(" Known are: {}.", known().collect::<Vec<_>>().join(", ")));
    let detail = if name.replace('_', "-") == "shared-secret" {
        "A secret does not belong here, where it would be stored in the state. Use shared_secret_wo of drbd_replicated_volume."
            .to_owned()
    } else {
        format!("{name:?} is no option of DRBD's section {} that can be declared.{hint}", section.keyword())
    };
    Diagnostic::error("Unknown option", detail).at(at.clone())
}

/// The options of a group with those of a volume over them, in DRBD's spelling.
///
/// # Errors
/// An option that the contract does not take, at `path`.
pub(crate) fn merged<S: InSection>(
    group: &BTreeMap<String, String>,
    volume: &BTreeMap<String, String>,
    path: &Path,
) -> Result<OptionSet<S>, Diagnostic> {
    let mut set = OptionSet::<S>::default();
    for (name, value) in group.iter().chain(volume) {
        set.set(name, value).map_err(|allowed| {
            let detail = format!("{} is {value:?}; allowed: {allowed}.", path.key(name));
            Diagnostic::error("Value not allowed", detail).at(path.clone())
        })?;
    }
    Ok(set)
}

/// Options, net and disk as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) net: BTreeMap<String, String>,
    pub(crate) disk: BTreeMap<String, String>,
}

/// The three sets of a declaration.
pub(crate) type Sets = (OptionSet<InOptions>, OptionSet<InNet>, OptionSet<InDisk>);

impl Written {
    /// Reads the three attributes.
    ///
    /// # Errors
    /// When one is unknown or no map of texts.
    pub(crate) fn read(r: &tfplugin::Reader<'_>) -> Result<Self, Diagnostic> {
        let map = |name: &str| r.get::<Option<BTreeMap<String, String>>>(name).map(Option::unwrap_or_default);
        Ok(Self { options: map("options")?, net: map("net")?, disk: map("disk")? })
    }

    /// These options with others over them.
    ///
    /// # Errors
    /// An option that the contract does not take.
    pub(crate) fn with(&self, over: &Self) -> Result<Sets, Diagnostic> {
        Ok((
            merged(&self.options, &over.options, &Path::of("options"))?,
            merged(&self.net, &over.net, &Path::of("net"))?,
            merged(&self.disk, &over.disk, &Path::of("disk"))?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<const N: usize>(section: Section, entries: [(&str, &str); N]) -> Vec<String> {
        let mut diagnostics = Diagnostics::new();
        check(section, &Value::map(entries), &Path::of(section.keyword()), &mut diagnostics);
        diagnostics.iter().map(|d| d.detail.clone()).collect()
    }

    #[test]
    fn known_options_pass_in_either_spelling() {
        let good = [("protocol", "C"), ("max_buffers", "8000"), ("allow-two-primaries", "false")];
        assert_eq!(found(Section::Net, good), Vec::<String>::new());
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        let slip = found(Section::Net, [("protocl", "C")]).concat();
        assert!(slip.contains("Did you mean \"protocol\"?"), "{slip}");
        let elsewhere = found(Section::Net, [("quorum", "majority")]).concat();
        assert!(elsewhere.contains("belongs into \"options\""), "{elsewhere}");
        let secret = found(Section::Net, [("shared_secret", "x")]).concat();
        assert!(secret.contains("shared_secret_wo"), "{secret}");
    }

    #[test]
    fn values_and_doubles_are_checked() {
        assert!(found(Section::Net, [("protocol", "D")]).concat().contains("one of A, B, C"));
        assert!(
            found(Section::Net, [("max-buffers", "8000"), ("max_buffers", "9000")])
                .concat()
                .contains("twice")
        );
    }

    #[test]
    fn spelling_is_no_difference() {
        let (a, b) = (
            Value::map([("max_buffers", "8000"), ("tcp-cork", "true")]),
            Value::map([("max-buffers", "8000"), ("tcp-cork", "yes")]),
        );
        assert!(same(Section::Net, &a, &b));
        assert!(!same(Section::Net, &a, &Value::map([("max-buffers", "8000")])));
    }

    #[test]
    fn a_volume_wins_over_its_group() {
        let map = |value: &str| BTreeMap::from([("max_buffers".to_owned(), value.to_owned())]);
        let set = merged::<InNet>(&map("8000"), &map("9000"), &Path::of("net")).unwrap();
        assert_eq!(set.get("max-buffers"), Some("9000"));
    }
}
