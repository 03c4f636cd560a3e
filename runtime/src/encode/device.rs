//! A device's programs as bytes.

use super::{Reader, Result, Writer};
use ttk_ir::device::{Argument, DeviceProgram, DeviceStep, Function, Launch};

/// Appends a device's program.
pub fn write_device_program(w: &mut Writer, d: &DeviceProgram) {
    w.bytes(d.listing.as_bytes());
    w.list(&d.helpers, |w, h| w.bytes(h.as_bytes()));
    w.list(&d.functions, |w, f| {
        w.bytes(f.name.as_bytes());
        w.bytes(f.about.as_bytes());
        w.bytes(f.source.as_bytes());
        w.list(&f.helpers, |w, &h| w.number(h.into()));
        f.block.iter().for_each(|&n| w.number(n.into()));
    });
    w.exprs(&d.scratch);
    w.list(&d.steps, |w, step| match step {
        DeviceStep::Launch(launches) => {
            w.byte(0);
            w.list(launches, Writer::launch);
        }
        DeviceStep::Copy { input, output } => {
            w.byte(1);
            w.id(*input);
            w.id(*output);
        }
        DeviceStep::Host => w.byte(2),
    });
    w.list(&d.alternatives, Writer::alternative);
}

/// Reads a device's program. Functions refer to helpers that are there; whether launches make sense is for
/// [`crate::cuda::CudaPlan::new`] to check.
///
/// # Errors
/// When the bytes are none.
pub fn read_device_program(r: &mut Reader<'_>) -> Result<DeviceProgram> {
    let listing = r.string()?;
    let helpers = r.list(Reader::string)?;
    let functions = r.list(|r| {
        Ok(Function {
            name: r.string()?,
            about: r.string()?,
            source: r.string()?,
            helpers: r.list(|r| r.below("a helper", helpers.len()))?,
            block: [r.u32("threads")?, r.u32("threads")?, r.u32("threads")?],
        })
    })?;
    let scratch = r.exprs()?;
    let steps = r.list(|r| {
        let tag = r.byte()?;
        Ok(match tag {
            0 => DeviceStep::Launch(r.list(Reader::launch)?),
            1 => DeviceStep::Copy { input: r.id()?, output: r.id()? },
            2 => DeviceStep::Host,
            _ => return r.bad("a step", tag),
        })
    })?;
    let alternatives = r.list(Reader::alternative)?;
    Ok(DeviceProgram { listing, helpers, functions, scratch, steps, alternatives })
}

impl Writer {
    fn launch(&mut self, l: &Launch) {
        self.number(l.function.into());
        l.grid.iter().for_each(|e| self.expr(e));
        self.expr(&l.shared);
        self.list(&l.arguments, Writer::argument);
    }

    pub(super) fn argument(&mut self, a: &Argument) {
        match a {
            Argument::Buffer(id) => {
                self.byte(0);
                self.id(*id);
            }
            Argument::Scratch(i) => {
                self.byte(1);
                self.number((*i).into());
            }
            Argument::Integer(e) => {
                self.byte(2);
                self.expr(e);
            }
            Argument::Fault => self.byte(3),
        }
    }
}

impl Reader<'_> {
    fn launch(&mut self) -> Result<Launch> {
        Ok(Launch {
            function: self.u32("a function")?,
            grid: [self.expr()?, self.expr()?, self.expr()?],
            shared: self.expr()?,
            arguments: self.list(Reader::argument)?,
        })
    }

    pub(super) fn argument(&mut self) -> Result<Argument> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Argument::Buffer(self.id()?),
            1 => Argument::Scratch(self.u32("a piece of scratch")?),
            2 => Argument::Integer(self.expr()?),
            3 => Argument::Fault,
            _ => return self.bad("an argument", tag),
        })
    }

    /// An index into a list.
    fn below(&mut self, what: &'static str, length: usize) -> Result<u32> {
        let at = self.at;
        let value = self.u32(what)?;
        let there = (value as usize) < length;
        if there { Ok(value) } else { Err(super::DecodeError::Value { what, value: value.into(), at }) }
    }
}
