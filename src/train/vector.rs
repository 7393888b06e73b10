//! Many numbers at a time, on the instruction set that the machine has (through `pulp`).
//!
//! A [`Kernel`] is written once over [`Vector`]: `f32` runs it on AVX-512, AVX2 or the plain set (NEON on aarch64, which is
//! untested), `f64`, which only proves and never trains, on single numbers. All methods must be `#[inline(always)]`, or
//! they would not be compiled for the instruction set that was chosen.

use pulp::{Arch, Simd, WithSimd};

use super::real::Real;

/// Work that is the same for every width.
pub trait Kernel<R> {
    /// What it answers.
    type Output;
    /// Does it.
    fn run<V: Vector<Item = R>>(self, token: V::Token) -> Self::Output;
}

/// A register of numbers.
pub trait Vector: Copy {
    /// One number.
    type Item: Real;
    /// The proof that the instruction set is there.
    type Token: Copy;
    /// Numbers in a register.
    const LANES: usize;
    /// Registers of the machine.
    const REGISTERS: usize;

    /// The same number in every lane.
    fn splat(token: Self::Token, value: Self::Item) -> Self;
    /// The first numbers of a slice; lanes beyond its end are zero.
    fn load(token: Self::Token, from: &[Self::Item]) -> Self;
    /// Writes as many numbers as the slice has room for.
    fn store(self, token: Self::Token, to: &mut [Self::Item]);
    /// `self + b`.
    fn add(self, token: Self::Token, b: Self) -> Self;
    /// `self - b`.
    fn sub(self, token: Self::Token, b: Self) -> Self;
    /// `self * b`.
    fn mul(self, token: Self::Token, b: Self) -> Self;
    /// `self * a + b`, rounded once where the set has an instruction for that: a call for each number costs more than all the rest.
    fn mul_add(self, token: Self::Token, a: Self, b: Self) -> Self;
    /// `self / b`.
    fn div(self, token: Self::Token, b: Self) -> Self;
    /// The exponential of the value, cut to ± `bound`, which is at most 87; of a NaN it is a NaN.
    fn exp_within(self, token: Self::Token, bound: Self::Item) -> Self;
    /// Two to the power of the value, cut to ± `bound`, which is at most 126; of a NaN it is a NaN. In single precision within 2e-7 of
    /// it for values up to 1, and within 6e-8 of the value itself beyond: enough below a logistic function, and cheaper than the
    /// exponential.
    fn exp2_within(self, token: Self::Token, bound: Self::Item) -> Self;
    /// The logistic function.
    fn sigmoid(self, token: Self::Token) -> Self;
    /// [`Real::flushed`] in every lane.
    fn flushed(self, token: Self::Token) -> Self;

    /// The hyperbolic tangent.
    #[inline(always)]
    fn tanh(self, token: Self::Token) -> Self {
        let two = Self::splat(token, Self::Item::from_f64(2.0));
        let minus_one = Self::splat(token, -Self::Item::ONE);
        two.mul(token, self)
            .sigmoid(token)
            .mul_add(token, two, minus_one)
    }
}

/// Runs a kernel on the widest registers there are.
pub fn run_f32<K: Kernel<f32>>(kernel: K) -> K::Output {
    struct Chosen<K>(K);
    impl<K: Kernel<f32>> WithSimd for Chosen<K> {
        type Output = K::Output;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> K::Output {
            self.0.run::<Lanes<S>>(simd)
        }
    }
    chosen().dispatch(Chosen(kernel))
}

#[cfg(not(test))]
fn chosen() -> Arch {
    Arch::new()
}

#[cfg(test)]
fn chosen() -> Arch {
    on_every_set::FORCED.get().unwrap_or_default()
}

/// What [`run_f32`] runs on, in words.
pub fn instruction_set() -> String {
    struct Width;
    impl Kernel<f32> for Width {
        type Output = (usize, usize);
        fn run<V: Vector<Item = f32>>(self, _: V::Token) -> (usize, usize) {
            (V::REGISTERS, V::LANES)
        }
    }
    let (registers, lanes) = run_f32(Width);
    let machine = std::env::consts::ARCH;
    format!("{machine}, {registers} registers of {lanes}")
}

/// `f32` lanes of one instruction set.
#[derive(Clone, Copy)]
struct Lanes<S: Simd>(S::f32s);

impl<S: Simd> Vector for Lanes<S> {
    type Item = f32;
    type Token = S;
    const LANES: usize = S::F32_LANES;
    const REGISTERS: usize = S::REGISTER_COUNT;

    #[inline(always)]
    fn splat(simd: S, value: f32) -> Self {
        Self(simd.splat_f32s(value))
    }

    #[inline(always)]
    fn load(simd: S, from: &[f32]) -> Self {
        let (whole, part) = S::as_simd_f32s(from);
        Self(match whole.first() {
            Some(lanes) => *lanes,
            None => simd.partial_load_f32s(part),
        })
    }

    #[inline(always)]
    fn store(self, simd: S, to: &mut [f32]) {
        let (whole, part) = S::as_mut_simd_f32s(to);
        match whole.first_mut() {
            Some(lanes) => *lanes = self.0,
            None => simd.partial_store_f32s(part, self.0),
        }
    }

    #[inline(always)]
    fn add(self, simd: S, b: Self) -> Self {
        Self(simd.add_f32s(self.0, b.0))
    }

    #[inline(always)]
    fn sub(self, simd: S, b: Self) -> Self {
        Self(simd.sub_f32s(self.0, b.0))
    }

    #[inline(always)]
    fn mul(self, simd: S, b: Self) -> Self {
        Self(simd.mul_f32s(self.0, b.0))
    }

    #[inline(always)]
    fn mul_add(self, simd: S, a: Self, b: Self) -> Self {
        Self(simd.mul_add_e_f32s(self.0, a.0, b.0))
    }

    #[inline(always)]
    fn sigmoid(self, simd: S) -> Self {
        let one = Self::splat(simd, 1.0);
        let e = Self(simd.neg_f32s(self.0)).exp_within(simd, 87.0);
        one.div(simd, one.add(simd, e))
    }

    #[inline(always)]
    fn div(self, simd: S, b: Self) -> Self {
        Self(simd.div_f32s(self.0, b.0))
    }

    #[inline(always)]
    fn exp_within(self, simd: S, bound: f32) -> Self {
        Self(exp(simd, self.0, bound))
    }

    #[inline(always)]
    fn exp2_within(self, simd: S, bound: f32) -> Self {
        Self(exp2(simd, self.0, bound))
    }

    #[inline(always)]
    fn flushed(self, simd: S) -> Self {
        let small = simd.less_than_f32s(simd.abs_f32s(self.0), simd.splat_f32s(f32::TINY));
        Self(simd.select_f32s(small, simd.splat_f32s(0.0), self.0))
    }
}

/// Cephes' `expf`: 2^n times a polynomial, within 2 units in the last place. The argument is cut to ± `bound`, at most 87; of
/// a NaN it is a NaN, so that a network gone wrong is seen.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::f32s, bound: f32) -> S::f32s {
    let splat = |value: f32| simd.splat_f32s(value);
    let x = cut(simd, x, bound);
    let shifted = simd.mul_add_e_f32s(x, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let n = simd.sub_f32s(shifted, splat(ROUND));
    let r = simd.mul_add_e_f32s(n, splat(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, splat(2.121_944_4e-4), r);
    let p = splat(1.987_569_1e-4);
    let p = simd.mul_add_e_f32s(p, r, splat(1.398_199_9e-3));
    let p = simd.mul_add_e_f32s(p, r, splat(8.333_452e-3));
    let p = simd.mul_add_e_f32s(p, r, splat(4.166_579_6e-2));
    let p = simd.mul_add_e_f32s(p, r, splat(1.666_666_5e-1));
    let p = simd.mul_add_e_f32s(p, r, splat(0.5));
    let p = simd.mul_add_e_f32s(p, simd.mul_f32s(r, r), simd.add_f32s(r, splat(1.0)));
    simd.mul_f32s(p, scale(simd, shifted))
}

/// Adding this rounds to an integer and leaves that integer in the low bits.
const ROUND: f32 = 12_582_912.0;

/// Two to the power of that integer.
#[inline(always)]
fn scale<S: Simd>(simd: S, shifted: S::f32s) -> S::f32s {
    let exponent = simd.sub_u32s(
        simd.transmute_u32s_f32s(shifted),
        simd.splat_u32s(ROUND.to_bits() - 127),
    );
    simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23)))
}

/// No further from zero than the bound; a NaN stays.
#[inline(always)]
fn cut<S: Simd>(simd: S, x: S::f32s, bound: f32) -> S::f32s {
    let (least, most) = (simd.splat_f32s(-bound), simd.splat_f32s(bound));
    let x = simd.select_f32s(simd.less_than_f32s(x, least), least, x);
    simd.select_f32s(simd.greater_than_f32s(x, most), most, x)
}

/// 2^n times a polynomial that is nearest to `2^r` from -1/2 to 1/2 in relative terms, of those that are
/// one at 0 and have its slope there.
#[inline(always)]
fn exp2<S: Simd>(simd: S, x: S::f32s, bound: f32) -> S::f32s {
    let splat = |value: f32| simd.splat_f32s(value);
    // x86's least and greatest are the second operand where either is a NaN; a single number's are the other one.
    let x = match size_of::<S::f32s>() == size_of::<f32>() {
        true => cut(simd, x, bound),
        false => simd.max_f32s(splat(-bound), simd.min_f32s(splat(bound), x)),
    };
    let shifted = simd.add_f32s(x, splat(ROUND));
    let r = simd.sub_f32s(x, simd.sub_f32s(shifted, splat(ROUND)));
    let p = splat(1.330_026_4e-3);
    let p = simd.mul_add_e_f32s(p, r, splat(9.669_708e-3));
    let p = simd.mul_add_e_f32s(p, r, splat(5.550_56e-2));
    let p = simd.mul_add_e_f32s(p, r, splat(2.402_228_2e-1));
    let p = simd.mul_add_e_f32s(p, r, splat(std::f32::consts::LN_2));
    let p = simd.mul_add_e_f32s(p, r, splat(1.0));
    simd.mul_f32s(p, scale(simd, shifted))
}

impl Vector for f64 {
    type Item = f64;
    type Token = ();
    const LANES: usize = 1;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat((): (), value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn load((): (), from: &[f64]) -> Self {
        from[0]
    }

    #[inline(always)]
    fn store(self, (): (), to: &mut [f64]) {
        to[0] = self;
    }

    #[inline(always)]
    fn add(self, (): (), b: Self) -> Self {
        self + b
    }

    #[inline(always)]
    fn sub(self, (): (), b: Self) -> Self {
        self - b
    }

    #[inline(always)]
    fn mul(self, (): (), b: Self) -> Self {
        self * b
    }

    // Two roundings, as in the plain set.
    #[inline(always)]
    fn mul_add(self, (): (), a: Self, b: Self) -> Self {
        self * a + b
    }

    #[inline(always)]
    fn div(self, (): (), b: Self) -> Self {
        self / b
    }

    #[inline(always)]
    fn exp_within(self, (): (), bound: f64) -> Self {
        f64::exp(self.clamp(-bound, bound))
    }

    #[inline(always)]
    fn exp2_within(self, (): (), bound: f64) -> Self {
        f64::exp2(self.clamp(-bound, bound))
    }

    #[inline(always)]
    fn sigmoid(self, (): ()) -> Self {
        Real::sigmoid(self)
    }

    #[inline(always)]
    fn tanh(self, (): ()) -> Self {
        f64::tanh(self)
    }

    #[inline(always)]
    fn flushed(self, (): ()) -> Self {
        Real::flushed(self)
    }
}

/// Every instruction set of the machine in turn, where the program takes the best.
#[cfg(test)]
pub mod on_every_set {
    use std::cell::Cell;

    use super::Arch;

    thread_local! {
        pub(super) static FORCED: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    /// What `work` answers on each, by the set's name; its threads are its own. Says so where the machine lacks one, and fails
    /// under CI where nothing but the plain set is left.
    pub fn run<T: Send>(work: impl Fn() -> T + Sync) -> Vec<(String, T)> {
        let mut sets = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            let wide = [
                ("AVX2", pulp::x86::V3::try_new().map(Arch::V3)),
                ("AVX-512", pulp::x86::V4::try_new().map(Arch::V4)),
            ];
            for (name, set) in wide {
                match set {
                    Some(set) => sets.push(set),
                    None => eprintln!("SKIPPED: this machine has no {name}"),
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Arch::new());
        let checked = option_env!("CI").is_none() || sets.len() > 1;
        assert!(checked, "only the plain instruction set is there");
        let answer = |set: Arch| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(2)
                .start_handler(move |_| FORCED.set(Some(set)))
                .build()
                .expect("two threads");
            pool.install(|| (super::instruction_set(), work()))
        };
        let found: Vec<(String, T)> = sets.into_iter().map(answer).collect();
        for (at, (set, _)) in found.iter().enumerate() {
            assert!(
                found[..at].iter().all(|(other, _)| other != set),
                "{set} twice"
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Function {
        Sigmoid,
        Tanh,
        /// Within 30.
        Exp2,
    }

    const ALL: [Function; 3] = [Function::Sigmoid, Function::Tanh, Function::Exp2];

    struct Apply<'a> {
        values: &'a mut [f32],
        function: Function,
    }

    impl Kernel<f32> for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector<Item = f32>>(self, token: V::Token) {
            for chunk in self.values.chunks_mut(V::LANES) {
                let x = V::load(token, chunk);
                let y = match self.function {
                    Function::Sigmoid => x.sigmoid(token),
                    Function::Tanh => x.tanh(token),
                    Function::Exp2 => x.exp2_within(token, 30.0),
                };
                y.store(token, chunk);
            }
        }
    }

    #[test]
    fn every_function_is_within_3e_7_of_double_precision() {
        for function in ALL {
            let inputs: Vec<f32> = (-9_001..9_002).map(|step| step as f32 * 0.01).collect();
            let found = on_every_set::run(|| {
                let mut values = inputs.clone();
                run_f32(Apply {
                    values: &mut values,
                    function,
                });
                values
            });
            for (set, values) in found {
                for (x, y) in inputs.iter().zip(&values) {
                    let x = f64::from(*x);
                    let exact = match function {
                        Function::Sigmoid => crate::sentiment::sigmoid(x),
                        Function::Tanh => x.tanh(),
                        Function::Exp2 => x.clamp(-30.0, 30.0).exp2(),
                    };
                    assert!(
                        (f64::from(*y) - exact).abs() < 3e-7 * exact.max(1.0),
                        "{set}: {function:?} at {x}: {y} instead of {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_nan_is_not_hidden() {
        for function in ALL {
            let found = on_every_set::run(|| {
                let mut values = [f32::NAN; 3];
                run_f32(Apply {
                    values: &mut values,
                    function,
                });
                values
            });
            for (set, values) in found {
                assert!(values.iter().all(|y| y.is_nan()), "{set}");
            }
        }
    }
}
