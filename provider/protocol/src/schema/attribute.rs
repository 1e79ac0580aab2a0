// SPDX-License-Identifier: MPL-2.0
//! The builder of one attribute or block. What the marks do is in `plan.rs`, `validate.rs` and `shape.rs`.

use std::fmt;
use std::sync::Arc;

use super::validate::Elements;
use crate::diagnostic::Diagnostics;
use crate::value::{Path, SmolStr, Type, Value};

/// How many objects a nested attribute or block holds, and how they are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nesting {
    Single,
    List,
    Set,
    Map,
}

/// What an attribute holds.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A value of a type.
    Plain(Type),
    /// Objects with attributes of their own.
    Nested { nesting: Nesting, fields: Vec<Attribute> },
    /// The same in block notation. A `max_items` of 0 is no limit.
    Block { nesting: Nesting, fields: Vec<Attribute>, min_items: i64, max_items: i64 },
}

pub(crate) type ReplaceRule = Arc<dyn Fn(&Value, &Value) -> bool + Send + Sync>;
pub(crate) type SameMeaning = Arc<dyn Fn(&Value, &Value) -> bool + Send + Sync>;
pub(crate) type Validator = Arc<dyn Fn(&Value, &Path, &mut Diagnostics) + Send + Sync>;

/// When a change of an attribute replaces the resource.
#[derive(Clone)]
pub(crate) enum Replace {
    Never,
    Always,
    If(ReplaceRule),
}

/// What becomes of an unset computed attribute in an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OnUpdate {
    Keep,
    Unknown,
    UnknownWhen(Vec<String>),
}

/// One attribute, nested attribute or block of a schema.
#[derive(Clone)]
pub struct Attribute {
    pub(crate) name: SmolStr,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) optional: bool,
    pub(crate) computed: bool,
    pub(crate) sensitive: bool,
    pub(crate) write_only: bool,
    pub(crate) deprecated: Option<String>,
    pub(crate) description: String,
    pub(crate) default: Option<Value>,
    pub(crate) replace: Replace,
    pub(crate) on_update: OnUpdate,
    pub(crate) same_meaning: Option<SameMeaning>,
    pub(crate) validators: Vec<Validator>,
    pub(crate) computed_elsewhere: bool,
}

impl Attribute {
    fn new(name: &str, kind: Kind) -> Attribute {
        Attribute {
            name: name.into(),
            kind,
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            write_only: false,
            deprecated: None,
            description: String::new(),
            default: None,
            replace: Replace::Never,
            on_update: OnUpdate::Keep,
            same_meaning: None,
            validators: Vec::new(),
            computed_elsewhere: false,
        }
    }

    /// A text attribute.
    pub fn string(name: &str) -> Attribute {
        Self::of(name, Type::String)
    }

    /// A number attribute.
    pub fn number(name: &str) -> Attribute {
        Self::of(name, Type::Number)
    }

    /// A truth value attribute.
    pub fn bool(name: &str) -> Attribute {
        Self::of(name, Type::Bool)
    }

    /// An attribute of any type, such as `Type::map(Type::String)`.
    pub fn of(name: &str, ty: Type) -> Attribute {
        Self::new(name, Kind::Plain(ty))
    }

    /// One object with attributes of its own.
    pub fn single_nested(name: &str, attributes: Vec<Attribute>) -> Attribute {
        Self::new(name, Kind::Nested { nesting: Nesting::Single, fields: attributes })
    }

    /// A list of objects with attributes of their own.
    pub fn list_nested(name: &str, attributes: Vec<Attribute>) -> Attribute {
        Self::new(name, Kind::Nested { nesting: Nesting::List, fields: attributes })
    }

    /// A set of objects with attributes of their own.
    pub fn set_nested(name: &str, attributes: Vec<Attribute>) -> Attribute {
        Self::new(name, Kind::Nested { nesting: Nesting::Set, fields: attributes })
    }

    /// A map of objects with attributes of their own.
    pub fn map_nested(name: &str, attributes: Vec<Attribute>) -> Attribute {
        Self::new(name, Kind::Nested { nesting: Nesting::Map, fields: attributes })
    }

    fn block(name: &str, nesting: Nesting, fields: Vec<Attribute>) -> Attribute {
        Self::new(name, Kind::Block { nesting, fields, min_items: 0, max_items: 0 })
    }

    /// A block that may stand once. Demand it with `min_items(1)`.
    pub fn single_block(name: &str, fields: Vec<Attribute>) -> Attribute {
        Self::block(name, Nesting::Single, fields)
    }

    /// A block that may stand several times, in order.
    pub fn list_block(name: &str, fields: Vec<Attribute>) -> Attribute {
        Self::block(name, Nesting::List, fields)
    }

    /// A block that may stand several times, without order.
    pub fn set_block(name: &str, fields: Vec<Attribute>) -> Attribute {
        Self::block(name, Nesting::Set, fields)
    }

    /// A block with one label, by which its objects are told apart.
    pub fn map_block(name: &str, fields: Vec<Attribute>) -> Attribute {
        Self::block(name, Nesting::Map, fields)
    }

    /// The least count of a block.
    pub fn min_items(mut self, count: u32) -> Attribute {
        if let Kind::Block { min_items, .. } = &mut self.kind {
            *min_items = i64::from(count);
        }
        self
    }

    /// The greatest count of a block; 0 is no limit.
    pub fn max_items(mut self, count: u32) -> Attribute {
        if let Kind::Block { max_items, .. } = &mut self.kind {
            *max_items = i64::from(count);
        }
        self
    }

    /// The configuration must set it.
    pub fn required(mut self) -> Attribute {
        self.required = true;
        self
    }

    /// The configuration may set it.
    pub fn optional(mut self) -> Attribute {
        self.optional = true;
        self
    }

    /// The provider sets it when the configuration does not. Unset, it is unknown on create and keeps its value
    /// on update.
    pub fn computed(mut self) -> Attribute {
        self.computed = true;
        self
    }

    /// Terraform hides its value in output; it is still stored in state.
    pub fn sensitive(mut self) -> Attribute {
        self.sensitive = true;
        self
    }

    /// It is read from the configuration and never stored. Needs Terraform 1.11.
    pub fn write_only(mut self) -> Attribute {
        self.write_only = true;
        self
    }

    /// Marks it as deprecated, with what to use in its place.
    pub fn deprecated(mut self, reason: impl Into<String>) -> Attribute {
        self.deprecated = Some(reason.into());
        self
    }

    /// What it is, with unit, range and default, in Markdown.
    pub fn description(mut self, markdown: impl Into<String>) -> Attribute {
        self.description = markdown.into();
        self
    }

    /// The value that is planned when the configuration sets none. Makes the attribute optional and computed.
    pub fn default(mut self, value: impl Into<Value>) -> Attribute {
        self.default = Some(value.into());
        self.optional = true;
        self.computed = true;
        self
    }

    /// A change replaces the resource. Inside a list or map this looks at elements that were there before; an
    /// added or removed element replaces only when the list or map itself says so.
    pub fn requires_replace(mut self) -> Attribute {
        self.replace = Replace::Always;
        self
    }

    /// A change replaces the resource when `rule(prior, planned)` says so. The planned value can be unknown.
    pub fn requires_replace_if(
        mut self,
        rule: impl Fn(&Value, &Value) -> bool + Send + Sync + 'static,
    ) -> Attribute {
        self.replace = Replace::If(Arc::new(rule));
        self
    }

    /// A computed attribute that becomes unknown in every update that changes anything.
    pub fn unknown_on_update(mut self) -> Attribute {
        self.on_update = OnUpdate::Unknown;
        self
    }

    /// A computed attribute that becomes unknown in an update that changes one of these top-level attributes.
    pub fn unknown_when_changed(mut self, names: &[&str]) -> Attribute {
        self.on_update = OnUpdate::UnknownWhen(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// `same(prior, new)` says whether two known values mean the same. The prior one is then kept in plans,
    /// after apply and after a refresh, so that `1GiB` and `1024MiB` are no difference.
    pub fn semantic_eq(mut self, same: impl Fn(&Value, &Value) -> bool + Send + Sync + 'static) -> Attribute {
        self.same_meaning = Some(Arc::new(same));
        self
    }

    /// Adds a check of the configured value. It is called with known values only, never with null.
    pub fn validate(
        mut self,
        check: impl Fn(&Value, &Path, &mut Diagnostics) + Send + Sync + 'static,
    ) -> Attribute {
        self.validators.push(Arc::new(check));
        self
    }

    /// Its value usually is a computed one of another resource. It, and everything in it, is judged where it is used, by a
    /// plan, and not by `validate`: there `terraform test` shows what a mocked provider made up.
    pub fn computed_elsewhere(mut self) -> Attribute {
        self.computed_elsewhere = true;
        self
    }

    /// Allows these texts only.
    pub fn one_of(self, allowed: &[&str]) -> Attribute {
        let allowed: Vec<String> = allowed.iter().map(|text| (*text).to_owned()).collect();
        self.validate(move |value, path, diagnostics| {
            let Some(text) = value.as_str() else { return };
            if allowed.iter().any(|candidate| candidate == text) {
                return;
            }
            let listed = allowed.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ");
            let hint =
                closest(text, &allowed).map(|near| format!(" Did you mean {near:?}?")).unwrap_or_default();
            let detail = format!("{path} is {text:?}; it must be one of {listed}.{hint}");
            diagnostics.error_at(path, "Value not allowed", detail);
        })
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its values.
    pub fn value_type(&self) -> Type {
        let (nesting, fields) = match &self.kind {
            Kind::Plain(ty) => return ty.clone(),
            Kind::Nested { nesting, fields } | Kind::Block { nesting, fields, .. } => (*nesting, fields),
        };
        let object = object_type(fields);
        match nesting {
            Nesting::Single => object,
            Nesting::List => Type::list(object),
            Nesting::Set => Type::set(object),
            Nesting::Map => Type::map(object),
        }
    }

    /// What its elements are, when it is a collection.
    pub(crate) fn value_type_above_objects(&self) -> Elements<'_> {
        match &self.kind {
            Kind::Plain(ty) => Elements::Plain(ty),
            Kind::Nested { .. } | Kind::Block { .. } => Elements::Objects,
        }
    }

    pub(crate) fn is_block(&self) -> bool {
        matches!(self.kind, Kind::Block { .. })
    }

    /// Nesting and inner attributes of a nested attribute or block.
    pub(crate) fn nested(&self) -> Option<(Nesting, &[Attribute])> {
        match &self.kind {
            Kind::Plain(_) => None,
            Kind::Nested { nesting, fields } | Kind::Block { nesting, fields, .. } => {
                Some((*nesting, fields))
            }
        }
    }

    /// Whether two values are both known, not null, and mean the same.
    pub(crate) fn means_same(&self, prior: &Value, new: &Value) -> bool {
        let comparable = |value: &Value| !value.is_null() && value.is_wholly_known();
        comparable(prior)
            && comparable(new)
            && self.same_meaning.as_ref().is_some_and(|same| same(prior, new))
    }
}

pub(crate) fn object_type(fields: &[Attribute]) -> Type {
    Type::object(fields.iter().map(|field| (field.name.clone(), field.value_type())))
}

fn closest<'a>(text: &str, candidates: &'a [String]) -> Option<&'a String> {
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attribute")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("required", &self.required)
            .field("optional", &self.optional)
            .field("computed", &self.computed)
            .finish_non_exhaustive()
    }
}
