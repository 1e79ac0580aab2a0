// SPDX-License-Identifier: MPL-2.0
//! What is not worth asking again. EC2 reports a lack of capacity as a server error, which the SDK repeats for minutes
//! while the user watches a hang; it is said at once instead, with zone and type.

use aws_sdk_ec2::config::interceptors::InterceptorContext;
use aws_sdk_ec2::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::operation::create_volume::CreateVolumeError;
use aws_sdk_ec2::operation::run_instances::RunInstancesError;
use aws_sdk_ec2::operation::start_instances::StartInstancesError;

/// Ends the attempts of a call that failed for lack of capacity.
#[derive(Debug)]
pub(crate) struct NoRoom;

impl ClassifyRetry for NoRoom {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        let code = error
            .downcast_ref::<RunInstancesError>()
            .and_then(ProvideErrorMetadata::code)
            .or_else(|| error.downcast_ref::<StartInstancesError>().and_then(ProvideErrorMetadata::code))
            .or_else(|| error.downcast_ref::<CreateVolumeError>().and_then(ProvideErrorMetadata::code));
        if code.is_some_and(|code| code.starts_with("Insufficient")) {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "no capacity"
    }
}
