//! Devices that wait to be let in by a person (C8Y-REG-04).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::access::Scope;
use super::caller::Caller;
use super::devices::check_device_name;
use super::fault::{Fault, Kind};
use super::tenants::no_tenant;
use super::{Authority, random};
use crate::ca::record::{AccountRow, DeviceRequestRow, DeviceRequestStatus};
use crate::identity::account::BootstrapPassword;
use crate::identity::switch::Role;

/// The most that wait in one tenant.
const MOST: usize = 10_000;

impl Authority {
    /// The devices that wait.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn device_requests(&self, caller: &Caller, tenant: &str) -> Result<Vec<Arc<DeviceRequestRow>>, Fault> {
        caller.needs(Scope::DevicesRead, tenant)?;
        Ok(self.state().device_requests.of(&[tenant]).cloned().collect())
    }

    /// One device that waits.
    ///
    /// # Errors
    /// It is not there.
    pub fn device_request(&self, caller: &Caller, tenant: &str, id: &str) -> Result<Arc<DeviceRequestRow>, Fault> {
        caller.needs(Scope::DevicesRead, tenant)?;
        let row = self.state().device_requests.get(&[tenant, id]).cloned();
        row.ok_or_else(|| Fault::not_found("device request", id))
    }

    /// Announces a device that will ask.
    ///
    /// # Errors
    /// It waits already, or its name cannot be one.
    pub async fn expect_device(&self, caller: &Caller, tenant: &str, id: &str) -> Result<Arc<DeviceRequestRow>, Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        check_device_name(id)?;
        self.change(caller, "device.expect", |draft| {
            draft.concerns(tenant);
            if draft.state.settings(tenant).is_none() {
                return Err(no_tenant(tenant));
            }
            if draft.state.device_requests.get(&[tenant, id]).is_some() {
                return Err(Fault::new(Kind::AlreadyExists, format!("the device {id} waits already")));
            }
            if draft.state.device_requests.of(&[tenant]).count() >= MOST {
                return Err(Fault::new(Kind::LimitReached, format!("{MOST} devices wait already")));
            }
            Ok(draft.put(DeviceRequestRow {
                tenant: tenant.to_owned(),
                id: id.to_owned(),
                status: DeviceRequestStatus::WaitingForConnection,
                created_at: draft.now,
            }))
        })
        .await
    }

    /// The tenant in which this device waits, if it does in one: a device that
    /// asks does not say which (C8Y-REG-05).
    #[must_use]
    pub fn waiting_device(&self, id: &str) -> Option<Arc<DeviceRequestRow>> {
        let state = self.state();
        state.device_requests.iter().find(|row| row.id == id).cloned()
    }

    /// Notes that the device has asked; answers how far its request is.
    ///
    /// # Errors
    /// It does not wait.
    pub async fn device_asked(&self, tenant: &str, id: &str) -> Result<DeviceRequestStatus, Fault> {
        let row = self.state().device_requests.get(&[tenant, id]).cloned();
        let row = row.ok_or_else(|| Fault::not_found("device request", id))?;
        if row.status != DeviceRequestStatus::WaitingForConnection {
            return Ok(row.status);
        }
        let status = DeviceRequestStatus::PendingAcceptance;
        self.set_device_request(&Caller::broker(), &row, status).await?;
        Ok(status)
    }

    /// Accepts a device that has asked.
    ///
    /// # Errors
    /// It does not wait, or nobody has asked yet.
    pub async fn accept_device(&self, caller: &Caller, tenant: &str, id: &str) -> Result<Arc<DeviceRequestRow>, Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        let row = self.device_request(&Caller::broker(), tenant, id)?;
        match row.status {
            DeviceRequestStatus::WaitingForConnection => {
                Err(Fault::new(Kind::WrongState, format!("the device {id} has not asked yet"))
                    .but("switch it on, and accept it when it waits"))
            }
            DeviceRequestStatus::PendingAcceptance => {
                self.set_device_request(caller, &row, DeviceRequestStatus::Accepted).await
            }
            DeviceRequestStatus::Accepted => Ok(row),
        }
    }

    async fn set_device_request(
        &self,
        caller: &Caller,
        row: &DeviceRequestRow,
        status: DeviceRequestStatus,
    ) -> Result<Arc<DeviceRequestRow>, Fault> {
        self.change(caller, "device.request", |draft| {
            draft.concerns(&row.tenant);
            Ok(draft.put(DeviceRequestRow { status, ..row.clone() }))
        })
        .await
    }

    /// The passwords with which devices of `tenant`, or of any tenant, ask for
    /// credentials of their own.
    #[must_use]
    pub fn bootstrap_passwords(&self, tenant: Option<&str>) -> Vec<BootstrapPassword> {
        let state = self.state();
        let meant = state.configured.iter().filter(|(id, _)| tenant.is_none_or(|tenant| tenant == *id));
        meant.filter_map(|(_, settings)| settings.bootstrap.clone()).collect()
    }

    /// A password for a device, which nobody has to remember.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn fresh_password(&self) -> Result<Zeroizing<String>, Fault> {
        random::secret(24)
    }

    /// Gives an accepted device its account, `device_<id>`, with the password
    /// of this hash; the request is over then (C8Y-REG-03: a password and no
    /// more).
    ///
    /// # Errors
    /// It was not accepted.
    pub async fn claim_device(&self, tenant: &str, id: &str, hash: String) -> Result<Arc<AccountRow>, Fault> {
        self.change(&Caller::broker(), "device.claim", |draft| {
            draft.concerns(tenant);
            let row = draft.state.device_requests.get(&[tenant, id]).cloned();
            let row = row.filter(|row| row.status == DeviceRequestStatus::Accepted);
            let row = row.ok_or_else(|| Fault::not_found("accepted device request", id))?;
            draft.remove(row.as_ref());
            Ok(draft.put(AccountRow {
                tenant: tenant.to_owned(),
                name: format!("device_{id}"),
                hash,
                role: Role::Device.to_string(),
                scopes: Vec::new(),
                enabled: true,
                grant: Vec::new(),
                created_at: draft.now,
                revision: 1,
            }))
        })
        .await
    }

    /// Lets a device wait no longer.
    ///
    /// # Errors
    /// It does not wait.
    pub async fn forget_device_request(&self, caller: &Caller, tenant: &str, id: &str) -> Result<(), Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        self.change(caller, "device.forget_request", |draft| {
            draft.concerns(tenant);
            let row = draft.state.device_requests.get(&[tenant, id]).cloned();
            draft.remove(row.ok_or_else(|| Fault::not_found("device request", id))?.as_ref());
            Ok(())
        })
        .await
    }
}
