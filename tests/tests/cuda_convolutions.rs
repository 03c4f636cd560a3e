//! Convolutions that go to cuDNN, on the stand-in: results and both gradients against the interpreter of graphs.

mod standin;

use standin::{Standin, devices, prepare};
use ttk_autograd::{VjpOptions, vjp};
use ttk_codegen_cuda::{Options, emit};
use ttk_ir::eval::{Tensor, eval};
use ttk_ir::testing::{Values, input_types, random_inputs};
use ttk_ir::{DType, Graph};
use ttk_passes::{HalfProducts, LowerOptions, lower, optimize};
use ttk_runtime::cuda::{Device, DeviceBuffer, release_devices};

/// A convolution over one, two or three spatial axes.
#[derive(Clone, Copy, Debug)]
struct Case {
    dtype: DType,
    /// Items, channels, and sizes.
    x: &'static [i64],
    /// Channels of the result, and taps.
    taps: &'static [i64],
    stride: &'static [i64],
    padding: i64,
    dilation: i64,
    groups: i64,
}

const BASE: Case = Case {
    dtype: DType::F32,
    x: &[2, 3, 7, 6],
    taps: &[4, 3, 3],
    stride: &[1, 1],
    padding: 1,
    dilation: 1,
    groups: 1,
};

fn list(numbers: impl IntoIterator<Item = i64>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|n| n.to_string()).collect();
    numbers.join(",")
}

impl Case {
    fn typed(&self, sizes: &[i64]) -> String {
        format!("{}[{}]", self.dtype.name(), list(sizes.iter().copied()))
    }

    /// As a layer records it.
    fn graph(&self) -> Graph {
        let spatial = self.x.len() - 2;
        let (sizes, taps) = (&self.x[2..], &self.taps[1..]);
        let padded: Vec<i64> = sizes.iter().map(|n| n + 2 * self.padding).collect();
        let out: Vec<i64> = (0..spatial)
            .map(|i| (padded[i] - (taps[i] - 1) * self.dilation - 1) / self.stride[i] + 1)
            .collect();
        let (items, channels, out_channels) = (self.x[0], self.x[1], self.taps[0]);
        let (groups, channels_of, out_of) = (self.groups, channels / self.groups, out_channels / self.groups);
        let filter = [&[out_channels, channels_of], taps].concat();
        let pads = list([0, 0].into_iter().chain(sizes.iter().map(|_| self.padding)));
        let zeros = list(self.x.iter().map(|_| 0));
        let over =
            list((0..=spatial as i64).map(|_| 0)).split(',').enumerate().fold(String::new(), |s, (i, _)| {
                let (a, b) = if i == 0 { (1, 1) } else { (1 + spatial + i, 1 + i) };
                if s.is_empty() { format!("{a}:{b}") } else { format!("{s},{a}:{b}") }
            });
        let perm = list([0, 1 + spatial as i64].into_iter().chain(1..1 + spatial as i64));
        let last = self.typed(&[&[items, out_channels], out.as_slice()].concat());
        let windows = [&[items, channels], out.as_slice(), taps].concat();
        // The product: of each group by itself, where there are several.
        let product = if groups == 1 {
            format!(
                "%2 = dot %1, %w {{contract=[{over}]}} : {product}\n  %3 = permute %2 {{perm=[{perm}]}} : {last}\n  return %3",
                product = self.typed(&[&[items], out.as_slice(), &[out_channels]].concat()),
            )
        } else {
            let over = (0..=spatial)
                .map(|i| if i == 0 { "2:2".into() } else { format!("{}:{}", 2 + spatial + i, 2 + i) });
            let over = over.collect::<Vec<String>>().join(",");
            let perm = list([1, 0, 2 + spatial as i64].into_iter().chain(2..2 + spatial as i64));
            format!(
                "%2 = reshape %1 : {grouped}\n  %3 = reshape %w : {filters}\n  \
                 %4 = dot %2, %3 {{batch=[1:0], contract=[{over}]}} : {product}\n  \
                 %5 = permute %4 {{perm=[{perm}]}} : {apart}\n  %6 = reshape %5 : {last}\n  return %6",
                grouped = self.typed(&[&[items, groups, channels_of], &windows[2..]].concat()),
                filters = self.typed(&[&[groups, out_of, channels_of], taps].concat()),
                product = self.typed(&[&[groups, items], out.as_slice(), &[out_of]].concat()),
                apart = self.typed(&[&[items, groups, out_of], out.as_slice()].concat()),
            )
        };
        let text = format!(
            "graph @convolution(%x: {x}, %w: {w}) -> ({last}) {{\n  \
             %0 = pad %x {{high=[{pads}], interior=[{zeros}], low=[{pads}], value=0.0}} : {padded}\n  \
             %1 = window %0 {{axes=[{axes}], dilation=[{dilation}], size=[{size}], stride=[{stride}]}} : {windows}\n  \
             {product}\n}}\n",
            x = self.typed(self.x),
            w = self.typed(&filter),
            padded = self.typed(&[&[items, channels], padded.as_slice()].concat()),
            axes = list(2..2 + spatial as i64),
            dilation = list(taps.iter().map(|_| self.dilation)),
            size = list(taps.iter().copied()),
            stride = list(self.stride.iter().copied()),
            windows = self.typed(&windows),
        );
        ttk_ir::text::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }
}

fn near(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 1e-5,
        DType::F16 => 4e-3,
        _ => 3e-2,
    }
}

/// Runs a graph, and gives what the calls that were taken compute.
fn run(graph: &Graph, device: &Device, printed: bool) -> Result<Vec<String>, String> {
    let better = optimize(graph, &ttk_passes::Options::default()).map_err(|e| e.to_string())?;
    let donate = vec![false; graph.params().len()];
    let program =
        lower(&better, &LowerOptions { native_math: true, half_products: HalfProducts::All, donate })
            .map_err(|e| e.to_string())?;
    let mut on_device = emit(&program, &Options::default()).map_err(|e| e.to_string())?;
    if printed {
        on_device.alternatives.clear();
    }
    let says: Vec<(u32, String)> =
        on_device.alternatives.iter().map(|a| (a.step, a.call.to_string())).collect();
    let plan = prepare(program, on_device, device).map_err(|e| e.to_string())?;
    for round in 0..2 {
        let inputs = random_inputs(&input_types(graph), &[], round, Values::Tame);
        let want = eval(graph, &inputs, &[]).map_err(|e| e.to_string())?;
        let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap()).collect();
        let got = plan.run(buffers, &[]).map_err(|e| e.to_string())?;
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let data = got.to_buffer().map_err(|e| e.to_string())?.bytes().to_vec();
            let largest = want.to_f64().into_iter().fold(1.0, |m: f64, v| m.max(v.abs()));
            let near = near(want.dtype);
            Tensor { data, ..want.clone() }
                .close(want, near, near * largest)
                .map_err(|e| format!("output {i}: {e}"))?;
        }
    }
    let taken = plan.library_calls();
    let says = says.into_iter().filter(|(step, says)| {
        taken.iter().any(|(at, library)| *at == *step as usize && says.starts_with(library))
    });
    Ok(says.map(|(_, says)| says).collect())
}

#[test]
fn convolutions_and_their_gradients_go_to_the_library() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let mut cases = Vec::new();
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            cases.push(Case { dtype, ..BASE });
        }
        for case in [
            Case { padding: 0, taps: &[4, 3, 2], ..BASE },
            Case { stride: &[2, 2], x: &[2, 3, 8, 9], ..BASE },
            Case { stride: &[2, 1], padding: 0, x: &[2, 3, 9, 7], ..BASE },
            Case { dilation: 2, padding: 2, x: &[2, 3, 9, 8], ..BASE },
            Case { taps: &[5, 2, 3], x: &[3, 2, 5, 8], padding: 0, ..BASE },
            Case { taps: &[4, 3], stride: &[1], x: &[2, 3, 11], ..BASE },
            Case { taps: &[4, 3], stride: &[2], x: &[2, 3, 12], ..BASE },
            // One image, one channel: fewer axes to go by.
            Case { x: &[1, 3, 7, 6], ..BASE },
            Case { x: &[2, 1, 7, 6], ..BASE },
            Case { x: &[2, 1, 28, 28], taps: &[8, 5, 5], padding: 2, ..BASE },
            Case { x: &[2, 6, 7, 6], taps: &[4, 3, 3], groups: 2, ..BASE },
            Case { x: &[2, 6, 9, 8], taps: &[9, 2, 3], groups: 3, padding: 0, stride: &[2, 1], ..BASE },
            Case { x: &[2, 4, 7, 6], taps: &[8, 3, 3], groups: 4, ..BASE },
            // Three axes.
            Case { x: &[2, 3, 5, 6, 4], taps: &[4, 3, 2, 3], stride: &[1, 1, 1], ..BASE },
            Case { x: &[2, 3, 7, 6, 5], taps: &[4, 3, 3, 2], stride: &[2, 1, 2], padding: 0, ..BASE },
            Case {
                x: &[1, 2, 7, 6, 9],
                taps: &[3, 2, 3, 3],
                stride: &[1; 3],
                dilation: 2,
                padding: 2,
                ..BASE
            },
            Case { x: &[2, 1, 5, 6, 4], taps: &[4, 3, 3, 3], stride: &[1; 3], ..BASE },
            Case { x: &[2, 4, 5, 4, 4], taps: &[6, 2, 2, 2], stride: &[1; 3], groups: 2, ..BASE },
            Case { dtype: DType::BF16, x: &[2, 3, 5, 6, 4], taps: &[4, 3, 2, 3], stride: &[1; 3], ..BASE },
        ] {
            cases.push(case);
        }
        let mut failures = Vec::new();
        for case in &cases {
            let forward = case.graph();
            let backward = vjp(&forward, &forward.outputs, forward.params(), VjpOptions::default()).unwrap();
            let mut gradients = vec!["cuDNN: filter gradient of "];
            // With respect to one channel, of groups, and of large steps along three axes, it is columns, written out
            // and summed.
            let steps: i64 = case.stride.iter().product();
            if case.x[1] > 1 && case.groups == 1 && (case.x.len() < 5 || steps == 1) {
                gradients.push("cuDNN: data gradient of ");
            }
            for (graph, wanted) in [(&forward, vec!["cuDNN: convolution of "]), (&backward, gradients)] {
                for printed in [false, true] {
                    device.set_caching(!printed).unwrap();
                    match run(graph, device, printed) {
                        Ok(calls) if printed && calls.is_empty() => {}
                        Ok(calls) if !printed => {
                            for want in &wanted {
                                let there = calls.iter().any(|c| c.starts_with(want));
                                if !there {
                                    failures.push(format!("{case:?}: {want} is not among {calls:?}"));
                                }
                            }
                        }
                        Ok(calls) => failures.push(format!("{case:?}: {calls:?} are taken")),
                        Err(e) => failures.push(format!("{case:?}: {e}: {}", standin.last_message())),
                    }
                }
            }
        }
        device.set_caching(true).unwrap();
        assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
    }
    release_devices();
    assert_eq!(standin.report(), "");
}
