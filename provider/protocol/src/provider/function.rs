// SPDX-License-Identifier: MPL-2.0
//! Provider functions: pure, without configuration and without network. Terraform calls them in a process of
//! their own, before anything is configured.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};

use crate::value::{Type, Value};

/// A function of the provider.
pub trait Function: Send + Sync + 'static {
    /// The name after `provider::<name>::`.
    fn name(&self) -> String;

    /// Parameters and result.
    fn signature(&self) -> Signature;

    /// Calls it. There is one argument for each parameter, then those of the variadic one.
    ///
    /// # Errors
    /// The text for the user and, when one argument is to blame, its position.
    fn call(&self, arguments: Vec<Value>) -> impl Future<Output = Result<Value, FunctionError>> + Send;
}

/// Why a function call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// What is wrong and what is expected.
    pub text: String,
    /// The position, from 0, of the argument that is to blame.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// An error of the whole call.
    pub fn new(text: impl Into<String>) -> FunctionError {
        FunctionError { text: text.into(), argument: None }
    }

    /// An error of the argument at `position`, from 0.
    pub fn argument(position: usize, text: impl Into<String>) -> FunctionError {
        FunctionError { text: text.into(), argument: Some(position) }
    }
}

/// One parameter of a function.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) description: String,
    pub(crate) allow_null: bool,
    pub(crate) allow_unknown: bool,
}

impl Parameter {
    /// A parameter that takes known values only; Terraform does not call the function for others.
    pub fn new(name: &str, ty: Type) -> Parameter {
        Parameter {
            name: name.to_owned(),
            ty,
            description: String::new(),
            allow_null: false,
            allow_unknown: false,
        }
    }

    /// What it is, in Markdown.
    pub fn description(mut self, markdown: impl Into<String>) -> Parameter {
        self.description = markdown.into();
        self
    }

    /// Null is an argument too.
    pub fn allow_null(mut self) -> Parameter {
        self.allow_null = true;
        self
    }

    /// Values that are not known yet are arguments too.
    pub fn allow_unknown(mut self) -> Parameter {
        self.allow_unknown = true;
        self
    }
}

/// Parameters and result of a function.
#[derive(Clone, Debug)]
pub struct Signature {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) variadic: Option<Parameter>,
    pub(crate) returns: Type,
    pub(crate) summary: String,
    pub(crate) description: String,
}

impl Signature {
    /// A function without parameters that returns a `returns`.
    pub fn returning(returns: Type) -> Signature {
        let (summary, description) = (String::new(), String::new());
        Signature { parameters: Vec::new(), variadic: None, returns, summary, description }
    }

    /// Adds a parameter.
    pub fn parameter(mut self, parameter: Parameter) -> Signature {
        self.parameters.push(parameter);
        self
    }

    /// Takes any count of further arguments.
    pub fn variadic(mut self, parameter: Parameter) -> Signature {
        self.variadic = Some(parameter);
        self
    }

    /// One sentence on what it does.
    pub fn summary(mut self, text: impl Into<String>) -> Signature {
        self.summary = text.into();
        self
    }

    /// What it does, in Markdown.
    pub fn description(mut self, markdown: impl Into<String>) -> Signature {
        self.description = markdown.into();
        self
    }
}

pub(crate) trait ErasedFunction: Send + Sync {
    fn name(&self) -> String;
    fn signature(&self) -> Signature;
    fn call(&self, arguments: Vec<Value>) -> BoxFuture<'_, Result<Value, FunctionError>>;
}

impl<T: Function> ErasedFunction for T {
    fn name(&self) -> String {
        Function::name(self)
    }

    fn signature(&self) -> Signature {
        Function::signature(self)
    }

    fn call(&self, arguments: Vec<Value>) -> BoxFuture<'_, Result<Value, FunctionError>> {
        Function::call(self, arguments).boxed()
    }
}

/// Any function.
#[derive(Clone)]
pub struct AnyFunction(pub(crate) Arc<dyn ErasedFunction>);

impl AnyFunction {
    /// Takes a function.
    pub fn new(function: impl Function) -> AnyFunction {
        AnyFunction(Arc::new(function))
    }
}

impl fmt::Debug for AnyFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyFunction").field(&self.0.name()).finish()
    }
}
