// SPDX-License-Identifier: MPL-2.0
//! CallFunction, and signatures as protocol messages.

use super::Core;
use super::answer;
use super::guard;
use crate::context::Context;
use crate::generated::tfplugin6 as proto;
use crate::provider::{FunctionError, Parameter, Signature};
use crate::value::{Path, Type, Value, conform::conform};

impl Signature {
    pub(crate) fn to_proto(&self) -> proto::FunctionSignature {
        proto::FunctionSignature {
            parameters: self.parameters.iter().map(parameter).collect(),
            variadic_parameter: self.variadic.as_ref().map(parameter),
            r#return: Some(proto::function_signature::Return { r#type: self.returns.to_json().into_bytes() }),
            summary: self.summary.clone(),
            description: self.description.clone(),
            description_kind: proto::StringKind::Markdown.into(),
            deprecation_message: String::new(),
        }
    }

    /// The type of the argument at `position`.
    fn type_at(&self, position: usize) -> Option<&Type> {
        let parameter = self.parameters.get(position).or(self.variadic.as_ref())?;
        Some(&parameter.ty)
    }
}

fn parameter(parameter: &Parameter) -> proto::function_signature::Parameter {
    proto::function_signature::Parameter {
        name: parameter.name.clone(),
        r#type: parameter.ty.to_json().into_bytes(),
        allow_null_value: parameter.allow_null,
        allow_unknown_values: parameter.allow_unknown,
        description: parameter.description.clone(),
        description_kind: proto::StringKind::Markdown.into(),
    }
}

pub(crate) async fn call(
    core: &Core,
    request: proto::CallFunctionRequest,
    ctx: &Context,
) -> proto::CallFunctionResponse {
    match try_call(core, request, ctx).await {
        Ok(result) => proto::CallFunctionResponse { result: Some(result), error: None },
        Err(error) => {
            let function_argument = error.argument.and_then(|position| i64::try_from(position).ok());
            let error = proto::FunctionError { text: error.text, function_argument };
            proto::CallFunctionResponse { result: None, error: Some(error) }
        }
    }
}

async fn try_call(
    core: &Core,
    request: proto::CallFunctionRequest,
    ctx: &Context,
) -> Result<proto::DynamicValue, FunctionError> {
    let entry = core.registry.functions.get(&request.name);
    let entry =
        entry.ok_or_else(|| FunctionError::new(format!("There is no function {:?}.", request.name)))?;
    let mut arguments = Vec::new();
    for (position, argument) in request.arguments.iter().enumerate() {
        let ty = entry.signature.type_at(position);
        let ty =
            ty.ok_or_else(|| FunctionError::argument(position, "There are more arguments than parameters."))?;
        let value = answer::decode(ty, Some(argument));
        arguments.push(value.map_err(|error| FunctionError::argument(position, error.detail))?);
    }
    let called = guard::catch(ctx, entry.function.0.call(arguments)).await;
    let result = called.map_err(|incident| FunctionError::new(incident.detail))??;
    finish(&entry.signature.returns, result)
}

fn finish(returns: &Type, result: Value) -> Result<proto::DynamicValue, FunctionError> {
    let mut problems = Vec::new();
    let result = conform(returns, result, &Path::root(), &mut problems);
    if let Some(problem) = problems.first() {
        let text =
            format!("This is a bug in the provider: the result of the function does not fit, {problem}.");
        return Err(FunctionError::new(text));
    }
    answer::encode(returns, &result).map_err(|error| FunctionError::new(error.detail))
}
