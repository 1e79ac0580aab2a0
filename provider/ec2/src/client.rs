// SPDX-License-Identifier: MPL-2.0
//! The handle: one client, made on first use, and what all calls share.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::Deref;
use std::sync::Arc;

use aws_sdk_ec2::Client;
use tokio::sync::OnceCell;

use crate::inventory::Cache;
use crate::settings::Settings;
use crate::tags::Tags;

/// EC2 in one region, with one set of credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ec2 {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    client: OnceCell<Client>,
    cache: Cache,
    run: String,
}

impl Ec2 {
    /// Contacts nobody, and reads nothing, before the first call.
    pub fn new(settings: Settings) -> Self {
        let (client, cache) = (OnceCell::new(), Cache::default());
        Self { inner: Arc::new(Inner { settings, client, cache, run: random() }) }
    }

    pub(crate) async fn client(&self) -> &Client {
        self.inner.client.get_or_init(|| self.inner.settings.client()).await
    }

    /// The client for a call that changes something: what reads share is stale from now on, and again when the call is
    /// done, for a read may have looked in between.
    pub(crate) async fn changing(&self) -> Changing<'_> {
        self.inner.cache.forget();
        Changing { client: self.client().await, cache: &self.inner.cache }
    }

    /// What no other run has.
    pub(crate) fn run(&self) -> &str {
        &self.inner.run
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    pub(crate) fn default_tags(&self) -> &Tags {
        &self.inner.settings.default_tags
    }
}

/// 64 bits from the system's source of randomness, which the standard library seeds its hashers with.
fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// A client during a change.
pub(crate) struct Changing<'a> {
    client: &'a Client,
    cache: &'a Cache,
}

impl Deref for Changing<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.cache.forget();
    }
}
