//! The trainer's LSTM as an operator of the runtime, under ONNX's contract: inputs X, W, R, B, `sequence_lens`, `initial_h`
//! and `initial_c`, outputs Y and `Y_h`, gates activated by the logistic function and the hyperbolic tangent.
//!
//! And as one that reads rows with pads before them: lengths of the rows in the place of `sequence_lens`, and in the places of the
//! first states those after 0, 1, 2, ... pads, `[maxlen, 1, units]`. Pads cost it nothing.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::value::{TensorElementType, TensorValueType};

use super::lstm::{Answers, Lstm, Weights};
use super::sequences::{AfterPads, Counted, Sequences};

/// Where the operator is found.
pub(super) const DOMAIN: &str = "sentiment";

/// The one over rows with pads before them.
pub(super) const PADDED_LSTM: &str = "PaddedLSTM";

/// Our operators.
pub(super) fn domain() -> ort::Result<OperatorDomain> {
    let domain = OperatorDomain::new(DOMAIN)?
        .add(LstmOperator { padded: false })?
        .add(LstmOperator { padded: true })?;
    #[cfg(test)]
    let domain = domain.add(tests::Unlucky)?;
    Ok(domain)
}

thread_local! {
    /// What an operator that ran on this thread panicked with.
    static PANIC: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
}

/// The runtime calls operators from C++, which a panic may not pass through: the process would be aborted. So it fails there, and
/// panics on where the runtime was called.
fn carried<T>(work: impl FnOnce() -> ort::Result<T>) -> ort::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        PANIC.set(Some(panic));
        Err(ort::Error::new("an operator panicked"))
    })
}

/// Panics on with what an operator on this thread has panicked with, if one has.
pub(super) fn panic_on() {
    if let Some(panic) = PANIC.take() {
        resume_unwind(panic);
    }
}

struct LstmOperator {
    padded: bool,
}

impl Operator for LstmOperator {
    type Kernel<'attr> = LstmKernel;

    fn name(&self) -> &'static str {
        match self.padded {
            true => PADDED_LSTM,
            false => "LSTM",
        }
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let floats = || OperatorInput::required(TensorElementType::Float32);
        let perhaps = || OperatorInput::optional(TensorElementType::Float32);
        let beside = match self.padded {
            true => [
                OperatorInput::required(TensorElementType::Int64),
                floats(),
                floats(),
            ],
            false => [
                OperatorInput::optional(TensorElementType::Int32),
                perhaps(),
                perhaps(),
            ],
        };
        [floats(), floats(), floats(), floats()]
            .into_iter()
            .chain(beside)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [0; 2].map(|_| OperatorOutput::optional(TensorElementType::Float32))
    }

    fn create_kernel<'attr>(
        &self,
        context: &KernelContext<'attr>,
    ) -> ort::Result<Self::Kernel<'attr>> {
        carried(|| LstmKernel::new(context, self.padded))
    }
}

/// One node.
struct LstmKernel {
    inputs: usize,
    units: usize,
    padded: bool,
    lstm: Lstm,
}

impl LstmKernel {
    fn new(context: &KernelContext<'_>, padded: bool) -> ort::Result<Self> {
        let [kernel, recurrent, bias] =
            [1, 2, 3].map(|at| context.constant_input::<TensorValueType<f32>>(at));
        let (kernel, recurrent, bias) = (kernel?, recurrent?, bias?);
        let (shape, kernel) = kernel.extract_tensor();
        let &[directions, wide, inputs] = &shape[..] else {
            return Err(ort::Error::new("weights that have not three dimensions"));
        };
        let [directions, wide, inputs] = [directions, wide, inputs].map(|size| size as usize);
        let (recurrent, bias) = (recurrent.extract_tensor().1, bias.extract_tensor().1);
        let units = wide / 4;
        let fit = inputs > 0
            && units > 0
            && recurrent.len() == directions * wide * units
            && bias.len() == directions * 2 * wide
            && (directions == 1 || !padded);
        if !fit {
            return Err(ort::Error::new("weights whose sizes do not go together"));
        }
        Ok(Self {
            inputs,
            units,
            padded,
            lstm: Lstm::new(Weights {
                inputs,
                units,
                kernel,
                recurrent,
                bias,
            }),
        })
    }

    fn run(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let none = || ort::Error::new("an input is missing");
        let input = context.input(0)?.ok_or_else(none)?;
        let (shape, input) = input.try_extract_tensor::<f32>()?;
        let &[time, batch, inputs] = &shape[..] else {
            return Err(ort::Error::new("inputs that have not three dimensions"));
        };
        let [steps, rows, inputs] = [time, batch, inputs].map(|size| size as usize);
        let given = context.num_inputs()?;
        let optional = |at: usize| match at < given {
            true => context.input(at),
            false => Ok(None),
        };
        let [lengths, state, cell] = [4, 5, 6].map(optional);
        let (lengths, state, cell) = (lengths?, state?, cell?);
        let mut states = [None; 2];
        for (place, value) in states.iter_mut().zip([&state, &cell]) {
            if let Some(value) = value {
                *place = Some(value.try_extract_tensor::<f32>()?.1);
            }
        }
        let counted = match (self.padded, &lengths) {
            (false, None) => Counted::All,
            (false, Some(lengths)) => Counted::First(lengths.try_extract_tensor::<i32>()?.1),
            (true, lengths) => {
                let lengths = lengths.as_ref().ok_or_else(none)?;
                let lengths = lengths.try_extract_tensor::<i64>()?.1;
                let [state, cell] = states.map(|states| states.ok_or_else(none));
                let (state, cell) = (state?, cell?);
                Counted::Last(lengths, AfterPads { state, cell })
            }
        };
        let directions = self.lstm.directions();
        let sequences = Sequences {
            input,
            batch: rows,
            counted,
            initial: match self.padded {
                true => [None; 2],
                false => states,
            },
        };
        if inputs != self.inputs || !sequences.fit(steps, directions * rows * self.units) {
            return Err(ort::Error::new("inputs whose sizes do not go together"));
        }
        let wide = [directions, rows, self.units].map(|size| size as i64);
        let last_shape = wide.to_vec();
        let every_shape = [&[steps as i64][..], &wide].concat();
        let wanted = context.num_outputs()?;
        let mut every = context.output(0, every_shape)?;
        let mut last = match wanted {
            0 | 1 => None,
            _ => context.output(1, last_shape)?,
        };
        let mut answers = Answers::default();
        if let Some(every) = &mut every {
            answers.every = Some(every.try_extract_tensor_mut::<f32>()?.1);
        }
        if let Some(last) = &mut last {
            answers.last = Some(last.try_extract_tensor_mut::<f32>()?.1);
        }
        self.lstm.run(sequences, answers);
        Ok(())
    }
}

impl Kernel for LstmKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        carried(|| self.run(context))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::Path;

    use prost::Message as _;

    use super::*;
    use crate::bundle::Bundle;
    use crate::engine::session::{Device, Runtime, Session, SessionOptions};
    use crate::onnx::Model;

    /// An operator that has the LSTM's inputs and outputs, and no luck.
    pub(super) struct Unlucky;

    pub(super) struct UnluckyKernel;

    impl Operator for Unlucky {
        type Kernel<'attr> = UnluckyKernel;

        fn name(&self) -> &'static str {
            "Unlucky"
        }

        fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
            LstmOperator { padded: false }.inputs()
        }

        fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
            LstmOperator { padded: false }.outputs()
        }

        fn create_kernel<'attr>(
            &self,
            _: &KernelContext<'attr>,
        ) -> ort::Result<Self::Kernel<'attr>> {
            Ok(UnluckyKernel)
        }
    }

    impl Kernel for UnluckyKernel {
        fn compute(&mut self, _: &ComputeContext) -> ort::Result<()> {
            carried(|| panic!("unlucky"))
        }
    }

    #[test]
    fn a_panic_in_an_operator_comes_out_where_the_session_was_run() {
        let naver = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/naver/2");
        let bundle = Bundle::load(&naver).unwrap();
        let mut model = Model::decode(&*bundle.onnx).unwrap();
        model.opset_import.push(crate::onnx::OperatorSet {
            domain: DOMAIN.to_owned(),
            version: 1,
        });
        for node in &mut model.graph.as_mut().unwrap().node {
            if node.op_type == "LSTM" {
                node.domain = DOMAIN.to_owned();
                node.op_type = "Unlucky".to_owned();
            }
        }
        let options = SessionOptions {
            device: Device::Cpu,
            standard: true,
        };
        let runtime = Runtime::load().unwrap();
        let mut session = Session::open(&runtime, &model.encode_to_vec(), options).unwrap();
        for _ in 0..2 {
            let run = AssertUnwindSafe(|| session.run(&[1, 2], (1, 2), &[2]));
            let panic = catch_unwind(run).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"unlucky"));
        }
    }
}
