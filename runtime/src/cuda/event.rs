//! Points in a device's work, to wait for and to measure time between.

use super::device::Device;
use super::driver::Event;
use super::error::CudaError;
use std::fmt;
use std::time::Duration;

/// A point in a device's work, and when it was reached.
pub struct DeviceEvent {
    device: Device,
    event: Event,
}

impl DeviceEvent {
    /// An event that marks nothing yet.
    ///
    /// # Errors
    /// The driver's.
    pub fn new(device: &Device) -> Result<DeviceEvent, CudaError> {
        Ok(DeviceEvent { event: Event::timed(device.context())?, device: device.clone() })
    }

    /// Marks the end of the work given to the device so far.
    ///
    /// # Errors
    /// The driver's.
    pub fn record(&self) -> Result<(), CudaError> {
        self.event.record(self.device.stream())
    }

    /// Whether the device has come to it; true when nothing has been marked.
    ///
    /// # Errors
    /// Those of kernels that ran meanwhile.
    pub fn is_reached(&self) -> Result<bool, CudaError> {
        self.event.is_reached()
    }

    /// Waits until the device has come to it.
    ///
    /// # Errors
    /// Those of kernels that ran meanwhile.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.event.synchronize("waiting for an event")
    }

    /// The device's time from this event to a later one.
    ///
    /// # Errors
    /// [`CudaError::WrongDevice`]; the driver's, when one of them has not been recorded or not been reached.
    pub fn time_until(&self, later: &DeviceEvent) -> Result<Duration, CudaError> {
        if !self.device.is(&later.device) {
            let (expected, found) = (self.device.ordinal(), later.device.ordinal());
            return Err(CudaError::WrongDevice { expected, found });
        }
        let milliseconds = self.event.milliseconds_until(&later.event)?;
        Ok(Duration::from_secs_f64(f64::from(milliseconds.max(0.0)) * 1e-3))
    }
}

impl fmt::Debug for DeviceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceEvent").field("device", &self.device.ordinal()).finish()
    }
}
