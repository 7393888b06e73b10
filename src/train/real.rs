//! The two number types of the trainer: `f32` to train, `f64` to prove.
//!
//! [`super::vector`] has the same arithmetic, many numbers at a time.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use super::vector::{self, Kernel};

/// A floating-point number that networks are made of.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Gradients smaller than this are cut off: over hundreds of steps they would go subnormal, which costs ten times
    /// the work and changes nothing.
    const TINY: Self;

    /// Rounded from double precision.
    fn from_f64(value: f64) -> Self;
    /// Widened to double precision.
    fn to_f64(self) -> f64;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The exponential; of a NaN it is a NaN.
    fn exp(self) -> Self;
    /// The absolute value.
    fn abs(self) -> Self;

    /// Runs `kernel` with the widest vectors that this machine has for this type.
    fn vectorised<K: Kernel<Self>>(kernel: K) -> K::Output;

    /// The logistic function.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }

    /// The hyperbolic tangent.
    #[inline(always)]
    fn tanh(self) -> Self {
        let two = Self::ONE + Self::ONE;
        two * (two * self).sigmoid() - Self::ONE
    }

    /// Itself, or zero below [`Self::TINY`].
    #[inline(always)]
    fn flushed(self) -> Self {
        if self.abs() < Self::TINY {
            Self::ZERO
        } else {
            self
        }
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const TINY: Self = 1e-25;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    fn exp(self) -> Self {
        f32::exp(self)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }

    fn vectorised<K: Kernel<Self>>(kernel: K) -> K::Output {
        vector::run_f32(kernel)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const TINY: Self = 1e-200;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    fn exp(self) -> Self {
        f64::exp(self)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }

    fn vectorised<K: Kernel<Self>>(kernel: K) -> K::Output {
        kernel.run::<f64>(())
    }
}
