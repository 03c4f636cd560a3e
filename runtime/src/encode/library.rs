//! Calls of libraries as bytes.

use super::{Reader, Result, Writer};
use ttk_ir::Expr;
use ttk_ir::library::{
    Activation, Alternative, Call, Convolution, Direction, Filter, Images, Matrix, OperandSum, Product, Side,
};

const ACTIVATIONS: [Activation; 4] =
    [Activation::None, Activation::Relu, Activation::Gelu, Activation::GeluGradient];
const SIDES: [Side; 2] = [Side::A, Side::B];
const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Data, Direction::Filter];

impl Writer {
    pub(super) fn alternative(&mut self, a: &Alternative) {
        self.number(a.step.into());
        self.number(a.launches.start as u64);
        self.number(a.launches.end as u64);
        match &a.call {
            Call::Product(p) => {
                self.byte(0);
                self.product(p);
            }
            Call::Convolution(c) => {
                self.byte(1);
                self.convolution(c);
            }
        }
    }

    fn product(&mut self, p: &Product) {
        self.dtype(p.dtype);
        [&p.m, &p.n, &p.k].into_iter().for_each(|e| self.expr(e));
        self.exprs(&p.batch);
        for m in [&p.a, &p.b, &p.c] {
            self.argument(&m.memory);
            self.expr(&m.offset);
            self.exprs(&m.batch_strides);
            self.expr(&m.row_stride);
            self.expr(&m.col_stride);
        }
        for id in [p.bias, p.addend, p.before] {
            self.byte(id.is_some().into());
            if let Some(id) = id {
                self.id(id);
            }
        }
        self.byte(p.activation as u8);
        self.byte(p.sum.is_some().into());
        if let Some(OperandSum { of, result }) = p.sum {
            self.byte(of as u8);
            self.id(result);
        }
        self.byte(p.second.is_some().into());
        if let Some(step) = p.second {
            self.number(step.into());
        }
        self.byte(p.tf32.into());
    }

    fn convolution(&mut self, c: &Convolution) {
        self.dtype(c.dtype);
        self.byte(c.direction as u8);
        for i in [&c.x, &c.y] {
            self.argument(&i.memory);
            self.expr(&i.offset);
            i.sizes.iter().for_each(|e| self.expr(e));
            i.strides.iter().for_each(|&n| self.signed(n));
        }
        self.argument(&c.filter.memory);
        self.expr(&c.filter.offset);
        c.filter.sizes.iter().for_each(|e| self.expr(e));
        [c.stride, c.padding, c.dilation].as_flattened().iter().for_each(|&n| self.signed(n));
        [c.groups, c.times].iter().chain(&c.steps).for_each(|&n| self.signed(n));
        self.byte(c.flipped.into());
        self.byte(c.tf32.into());
    }
}

impl Reader<'_> {
    pub(super) fn alternative(&mut self) -> Result<Alternative> {
        let step = self.u32("a step")?;
        let launches = self.u32("a launch")? as usize..self.u32("a launch")? as usize;
        let tag = self.byte()?;
        let call = match tag {
            0 => Call::Product(self.product()?),
            1 => Call::Convolution(Box::new(self.convolution()?)),
            _ => return self.bad("a call", tag),
        };
        Ok(Alternative { step, launches, call })
    }

    fn product(&mut self) -> Result<Product> {
        let dtype = self.dtype()?;
        let (m, n, k) = (self.expr()?, self.expr()?, self.expr()?);
        let batch = self.exprs()?;
        let matrix = |r: &mut Self| {
            Ok(Matrix {
                memory: r.argument()?,
                offset: r.expr()?,
                batch_strides: r.exprs()?,
                row_stride: r.expr()?,
                col_stride: r.expr()?,
            })
        };
        let (a, b, c) = (matrix(self)?, matrix(self)?, matrix(self)?);
        let buffer = |r: &mut Self| if r.bool()? { r.id().map(Some) } else { Ok(None) };
        let (bias, addend, before) = (buffer(self)?, buffer(self)?, buffer(self)?);
        let activation = self.one_of("an activation", &ACTIVATIONS)?;
        let mut sum = None;
        if self.bool()? {
            let of = self.one_of("an operand", &SIDES)?;
            sum = Some(OperandSum { of, result: self.id()? });
        }
        let second = if self.bool()? { Some(self.u32("a step")?) } else { None };
        let tf32 = self.bool()?;
        Ok(Product { dtype, m, n, k, batch, a, b, c, bias, addend, activation, before, sum, second, tf32 })
    }

    fn convolution(&mut self) -> Result<Convolution> {
        let dtype = self.dtype()?;
        let direction = self.one_of("a direction", &DIRECTIONS)?;
        let sizes = |r: &mut Self| -> Result<[Expr; 5]> {
            Ok([r.expr()?, r.expr()?, r.expr()?, r.expr()?, r.expr()?])
        };
        let images = |r: &mut Self| {
            let (memory, offset, sizes) = (r.argument()?, r.expr()?, sizes(r)?);
            let strides = [r.signed()?, r.signed()?, r.signed()?, r.signed()?, r.signed()?];
            Ok(Images { memory, offset, sizes, strides })
        };
        let (x, y) = (images(self)?, images(self)?);
        let filter = Filter { memory: self.argument()?, offset: self.expr()?, sizes: sizes(self)? };
        let three = |r: &mut Self| -> Result<[i64; 3]> { Ok([r.signed()?, r.signed()?, r.signed()?]) };
        let (stride, padding, dilation) = (three(self)?, three(self)?, three(self)?);
        let (groups, times) = (self.signed()?, self.signed()?);
        let steps = three(self)?;
        let (flipped, tf32) = (self.bool()?, self.bool()?);
        Ok(Convolution {
            dtype,
            direction,
            x,
            y,
            filter,
            stride,
            padding,
            dilation,
            groups,
            times,
            steps,
            flipped,
            tf32,
        })
    }
}
