//! Activations, number by number.

use crate::recipe::Activation;
use crate::train::real::Real;

/// The activation.
pub(super) fn apply<R: Real>(activation: Activation, x: R) -> R {
    match activation {
        Activation::Linear => x,
        Activation::Sigmoid => x.sigmoid(),
        Activation::Relu => {
            if x < R::ZERO {
                R::ZERO
            } else {
                x
            }
        }
        Activation::Tanh => x.tanh(),
        Activation::HardSigmoid | Activation::HardSigmoid3 => {
            let y = x * straight(activation) + R::from_f64(0.5);
            if y < R::ZERO {
                R::ZERO
            } else if y > R::ONE {
                R::ONE
            } else {
                y
            }
        }
    }
}

/// The activation's derivative, from its output.
pub(super) fn slope<R: Real>(activation: Activation, y: R) -> R {
    match activation {
        Activation::Linear => R::ONE,
        Activation::Sigmoid => y * (R::ONE - y),
        Activation::Relu => {
            if y > R::ZERO {
                R::ONE
            } else {
                R::ZERO
            }
        }
        Activation::Tanh => R::ONE - y * y,
        Activation::HardSigmoid | Activation::HardSigmoid3 => {
            if y > R::ZERO && y < R::ONE {
                straight(activation)
            } else {
                R::ZERO
            }
        }
    }
}

fn straight<R: Real>(activation: Activation) -> R {
    R::from_f64(activation.straight().unwrap_or_default())
}
