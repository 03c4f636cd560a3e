//! Devices, their memory, copies, and what goes wrong, through the runtime, on the stand-in.

mod standin;

use standin::{Standin, devices, prepare};
use std::fs;
use ttk_ir::device::{Argument, DeviceProgram, DeviceStep, Function, Launch};
use ttk_ir::graph::Loc;
use ttk_ir::program::{Action, Buffer, BufferId, Output, Placement, Program, Step};
use ttk_ir::{DType, Expr, Type, kernel};
use ttk_runtime::cuda::{self, CudaError, Device, DeviceBuffer, DeviceEvent, release_devices};

/// Nothing is left behind by a test.
fn close(standin: &Standin) {
    release_devices();
    assert_eq!(standin.report(), "");
}

#[test]
fn devices_say_what_they_are() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        assert!(cuda::available());
        assert_eq!(cuda::device_count(), 2);
        let p = device.properties();
        assert_eq!((p.name.as_str(), p.capability, p.total_memory), ("Stand-in 0", (9, 0), 256 << 20));
        assert_eq!(device.memory_info().unwrap().1, 256 << 20);
        let error = Device::get(2).unwrap_err();
        assert!(error.to_string().starts_with("CUDA error: invalid device ordinal"), "{error}");
    }
    close(&standin);
}

#[test]
fn copies_of_any_size_arrive_on_every_device() {
    let standin = Standin::open();
    {
        let both = devices(2);
        for bytes in [0usize, 1, 63, 4096, (4 << 20) + 5, 9 << 20] {
            let data: Vec<u8> = (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect();
            let first = DeviceBuffer::from_bytes(&both[0], &data).unwrap();
            let second = DeviceBuffer::from_bytes(&both[0], &data[bytes / 2..]).unwrap();
            let there = first.to_device(&both[1]).unwrap();
            // What it came from may go at once.
            drop(first);
            let overwritten = DeviceBuffer::zeroed(&both[0], bytes).unwrap();
            let back = there.to_device(&both[0]).unwrap();
            drop(there);
            assert!(back.to_buffer().unwrap().bytes() == data, "{bytes} bytes");
            assert!(second.duplicate().unwrap().to_buffer().unwrap().bytes() == &data[bytes / 2..]);
            assert!(overwritten.to_buffer().unwrap().bytes().iter().all(|&b| b == 0));
        }
    }
    close(&standin);
}

#[test]
fn parts_are_read_and_buffers_overwritten() {
    let standin = Standin::open();
    {
        let both = devices(2);
        let a = DeviceBuffer::from_slice(&both[0], &[1i32, 2, 3]).unwrap();
        assert_eq!(a.read(4..8).unwrap(), 2i32.to_le_bytes());
        assert!(a.read(8..13).is_err());
        let b = DeviceBuffer::from_slice(&both[0], &[7i32, 8, 9, 10]).unwrap();
        a.clone().overwrite(&b).unwrap();
        assert_eq!(a.to_buffer().unwrap().to_vec::<i32>(), [7, 8, 9]);
        assert!(matches!(a.overwrite(&b.to_device(&both[1]).unwrap()), Err(CudaError::WrongDevice { .. })));
    }
    close(&standin);
}

#[test]
fn events_are_reached_in_order_and_measure_time() {
    let standin = Standin::open();
    {
        let both = devices(2);
        let (start, end) = (DeviceEvent::new(&both[0]).unwrap(), DeviceEvent::new(&both[0]).unwrap());
        assert!(start.time_until(&end).is_err(), "nothing has been recorded");
        start.record().unwrap();
        let _work = DeviceBuffer::from_bytes(&both[0], &[1; 1 << 20]).unwrap();
        end.record().unwrap();
        assert!(!end.is_reached().unwrap());
        end.synchronize().unwrap();
        assert!(start.is_reached().unwrap() && end.is_reached().unwrap());
        assert!(start.time_until(&end).unwrap().as_secs() < 60);
        let other = DeviceEvent::new(&both[1]).unwrap();
        assert!(matches!(start.time_until(&other), Err(CudaError::WrongDevice { .. })));
    }
    close(&standin);
}

#[test]
fn memory_is_kept_counted_and_given_back() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let a = DeviceBuffer::new(device, 1000).unwrap();
        let b = DeviceBuffer::new(device, 5000).unwrap();
        let stats = device.memory_stats();
        assert_eq!(
            (stats.allocated, stats.reserved, stats.driver_allocations),
            (1024 + 5120, 1024 + 5120, 2)
        );
        let at = a.address();
        drop(a);
        assert_eq!(device.memory_stats().allocated, 5120);
        let again = DeviceBuffer::new(device, 1024).unwrap();
        assert_eq!((again.address(), device.memory_stats().cache_hits), (at, 1));
        drop((again, b));
        let stats = device.memory_stats();
        assert_eq!((stats.allocated, stats.max_allocated, stats.max_reserved), (0, 6144, 6144));
        device.reset_peak_memory_stats();
        device.empty_cache().unwrap();
        let stats = device.memory_stats();
        assert_eq!((stats.reserved, stats.max_allocated), (0, 0));
        assert_eq!(device.memory_info().unwrap(), (256 << 20, 256 << 20));
    }
    close(&standin);
}

#[test]
fn exhausted_memory_is_an_error_after_which_all_goes_on() {
    let mut standin = Standin::open();
    standin.set("memory", 64 << 20);
    {
        let device = &devices(1)[0];
        let small = DeviceBuffer::from_bytes(device, &[5; 100]).unwrap();
        let half = DeviceBuffer::new(device, 40 << 20).unwrap();
        let error = DeviceBuffer::new(device, 40 << 20).unwrap_err();
        let text = error.to_string();
        let start =
            "CUDA out of memory. Tried to allocate 40.00 MiB. GPU 0 has a total capacity of 256.00 MiB";
        assert!(text.starts_with(start) || text.starts_with(&start.replace("256.00", "64.00")), "{text}");
        assert!(text.contains("23.99 MiB is free") || text.contains("24.00 MiB is free"), "{text}");
        assert_eq!(small.to_buffer().unwrap().bytes(), [5; 100]);
        // What is kept for other sizes goes back when it is needed.
        drop(half);
        let other = DeviceBuffer::new(device, 48 << 20).unwrap();
        assert_eq!(device.memory_stats().reserved, (48 << 20) + 512);
        assert!(matches!(DeviceBuffer::new(device, usize::MAX), Err(CudaError::OutOfMemory { .. })));
        drop(other);
    }
    close(&standin);
}

const BODY: &str = "kernel @work(%x: f32[64], %out: mut f32[64]) {
  for %i in 0..64 parallel {
    %v: f32 = load %x[%i]
    store %out[%i], %v
  }
}";

/// A program of one kernel `work(const float* x, float* out)` over 64 floats, with an intermediate of
/// 64 floats between two of it.
fn twice(body: &str) -> (Program, DeviceProgram) {
    let buffer = |placement| Buffer { dtype: DType::F32, len: Expr::constant(64), placement };
    let ty = Type::fixed(DType::F32, &[64]);
    let launch = |from, to| Step {
        action: Action::Launch {
            kernel: 0,
            buffers: vec![BufferId(from), BufferId(to)],
            symbols: Vec::new(),
            work: Expr::constant(64),
        },
        loc: Loc { file: "model.py".into(), line: 1 },
    };
    let program = Program {
        name: "twice".into(),
        symbols: Vec::new(),
        inputs: vec![ty.clone()],
        outputs: vec![Output { ty, buffer: BufferId(2) }],
        buffers: vec![
            buffer(Placement::Input(0)),
            buffer(Placement::Arena { offset: Expr::constant(0) }),
            buffer(Placement::Output),
        ],
        arena: Expr::constant(256),
        kernels: vec![kernel::text::parse(BODY).unwrap()],
        steps: vec![launch(0, 1), launch(1, 2)],
    };
    let launch = |from, to| {
        let one = || Expr::constant(1);
        let arguments = vec![Argument::Buffer(BufferId(from)), Argument::Buffer(BufferId(to))];
        let shared = Expr::constant(0);
        DeviceStep::Launch(vec![Launch { function: 0, grid: [one(), one(), one()], shared, arguments }])
    };
    let device = DeviceProgram {
        functions: vec![Function {
            name: "work".into(),
            about: String::new(),
            source: format!("extern \"C\" __global__ void work(const float* x, float* out) {{ {body} }}\n"),
            helpers: Vec::new(),
            block: [64, 1, 1],
        }],
        steps: vec![launch(0, 1), launch(1, 2)],
        ..DeviceProgram::default()
    };
    (program, device)
}

fn run(device: &Device, body: &str) -> Result<Vec<f32>, CudaError> {
    let (program, on_device) = twice(body);
    let plan = prepare(program, on_device, device)?;
    let x = DeviceBuffer::from_slice(device, &[1.5f32; 64])?;
    let out = plan.run(vec![x], &[])?;
    Ok(out[0].to_buffer()?.to_vec())
}

#[test]
fn a_kernel_that_leaves_its_memory_is_an_error_and_the_device_goes_on() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        // Each buffer is an allocation of its own, of its very size: intermediates too.
        device.set_caching(false).unwrap();
        let kept = DeviceBuffer::from_bytes(device, &[9; 33]).unwrap();
        let error = run(device, "out[threadIdx.x + (x[0] > 2)] = x[threadIdx.x] + 1;").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("CUDA error: an illegal memory access was encountered"), "{text}");
        assert!(standin.last_message().contains("kernel work"), "{}", standin.last_message());
        assert_eq!(kept.to_buffer().unwrap().bytes(), [9; 33]);
        let good = "out[threadIdx.x] = x[threadIdx.x] + 1;";
        assert_eq!(run(device, good).unwrap(), [3.5; 64]);
        device.set_caching(true).unwrap();
        assert_eq!(run(device, good).unwrap(), [3.5; 64]);
    }
    close(&standin);
}

#[test]
fn an_error_that_comes_up_while_a_plan_is_dropped_is_told_later() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let (program, on_device) = twice("out[threadIdx.x + (1ull << 38)] = x[threadIdx.x];");
        let plan = prepare(program, on_device, device).unwrap();
        let x = DeviceBuffer::from_slice(device, &[1f32; 64]).unwrap();
        let out = plan.run(vec![x], &[]).unwrap();
        drop(plan);
        let text = out[0].to_buffer().unwrap_err().to_string();
        assert!(text.starts_with("CUDA error: an illegal memory access was encountered"), "{text}");
        device.synchronize().unwrap();
    }
    close(&standin);
}

#[test]
fn a_kernel_that_is_waited_for_is_named_by_its_error() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        assert!(!device.is_blocking());
        device.set_blocking(true);
        let text = run(device, "out[threadIdx.x + (1ull << 38)] = x[threadIdx.x];").unwrap_err().to_string();
        assert!(text.ends_with("while running work)"), "{text}");
        device.set_blocking(false);
    }
    close(&standin);
}

#[test]
fn a_device_newer_than_the_compiler_gets_code_that_its_driver_translates() {
    let mut standin = Standin::open();
    standin.set("capability", 121);
    {
        let device = &devices(1)[0];
        assert_eq!(device.properties().capability, (12, 1));
        assert_eq!(run(device, "out[threadIdx.x] = x[threadIdx.x] * 2;").unwrap(), [6.0; 64]);
        let error = run(device, "nonsense").unwrap_err();
        assert!(matches!(error, CudaError::Compile { architecture, .. } if architecture == "compute_100"));
    }
    close(&standin);
}

#[test]
fn plans_run_from_several_threads_at_once() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let (program, on_device) = twice("out[threadIdx.x] = x[threadIdx.x] * 3;");
        let plan = prepare(program, on_device, device).unwrap();
        std::thread::scope(|scope| {
            for t in 0..4u8 {
                let plan = &plan;
                scope.spawn(move || {
                    for i in 0..20u8 {
                        let value = f32::from(t) * 100.0 + f32::from(i);
                        let x = DeviceBuffer::from_slice(device, &[value; 64]).unwrap();
                        let out = plan.run(vec![x], &[]).unwrap();
                        let got = out[0].to_buffer().unwrap().to_vec::<f32>();
                        assert_eq!(got, [value * 9.0; 64]);
                    }
                });
            }
        });
        assert!(plan.recorded() > 0);
    }
    close(&standin);
}

#[test]
fn a_forked_child_is_told_so() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let buffer = DeviceBuffer::from_bytes(device, &[1; 8]).unwrap();
        // SAFETY: the child makes a few calls and ends without running anything of its parent.
        match unsafe { libc::fork() } {
            0 => {
                let get = matches!(Device::get(0), Err(CudaError::Forked));
                let read = matches!(buffer.read(0..8), Err(CudaError::Forked));
                // SAFETY: ends the process.
                unsafe { libc::_exit(i32::from(!(get && read))) };
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for the child that was just made.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0);
            }
        }
        assert_eq!(buffer.read(0..8).unwrap(), [1; 8]);
    }
    close(&standin);
}

#[test]
fn an_output_that_is_not_all_written_is_found() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        device.set_caching(false).unwrap();
        assert!(run(device, "if (threadIdx.x != 3) out[threadIdx.x] = x[threadIdx.x];").is_err());
        assert!(standin.last_message().contains("nothing wrote: 1 of 64"), "{}", standin.last_message());
        device.set_caching(true).unwrap();
    }
    close(&standin);
}

#[test]
fn compiled_code_is_kept_on_disk() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let directory = tempfile::tempdir().unwrap();
        cuda::set_compile_cache(Some(directory.path()));
        let body = "out[threadIdx.x] = x[threadIdx.x] * 2;";
        let before = cuda::compile_stats();
        let counts = || {
            let now = cuda::compile_stats();
            (now.compiled - before.compiled, now.cached - before.cached)
        };
        assert_eq!(run(device, body).unwrap(), [6.0; 64]);
        assert_eq!(counts(), (1, 0));
        assert_eq!(run(device, body).unwrap(), [6.0; 64]);
        assert_eq!(counts(), (1, 1));
        // The same function under another name, in another program.
        let (program, mut other) = twice(body);
        other.functions[0].name = "renamed".into();
        other.functions[0].source = other.functions[0].source.replace("work", "renamed");
        let plan = prepare(program, other, device).unwrap();
        let x = DeviceBuffer::from_slice(device, &[1.5f32; 64]).unwrap();
        assert_eq!(plan.run(vec![x], &[]).unwrap()[0].to_buffer().unwrap().to_vec::<f32>(), [6.0; 64]);
        assert_eq!(counts(), (1, 2));
        // A file that was damaged is not used.
        let kept = fs::read_dir(directory.path().join("cuda-2")).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&kept).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&kept, bytes).unwrap();
        assert_eq!(run(device, body).unwrap(), [6.0; 64]);
        assert_eq!(counts(), (2, 2));
        cuda::set_compile_cache(None);
        assert_eq!(run(device, body).unwrap(), [6.0; 64]);
        assert_eq!(counts(), (3, 2));
    }
    close(&standin);
}

#[test]
fn source_that_does_not_compile_is_a_typed_error() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let error = run(device, "out[threadIdx.x] = nonsense;").unwrap_err();
        let CudaError::Compile { program, architecture, log } = error else { panic!("{error}") };
        assert_eq!((program.as_str(), architecture.as_str()), ("twice", "sm_90"));
        assert!(log.contains("nonsense"), "{log}");
    }
    close(&standin);
}

#[test]
fn programs_that_contradict_themselves_are_refused() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let (program, good) = twice("out[threadIdx.x] = x[threadIdx.x];");
        let refuse = |change: &dyn Fn(&mut DeviceProgram), says: &str| {
            let mut bad = good.clone();
            change(&mut bad);
            let plan = prepare(program.clone(), bad, device);
            let x = || DeviceBuffer::from_slice(device, &[1f32; 64]).unwrap();
            let error = plan.and_then(|p| p.run(vec![x()], &[])).unwrap_err().to_string();
            assert!(error.contains(says), "{error} does not say {says}");
        };
        let launch = |d: &mut DeviceProgram, change: &dyn Fn(&mut Launch)| match &mut d.steps[1] {
            DeviceStep::Launch(launches) => change(&mut launches[0]),
            DeviceStep::Copy { .. } | DeviceStep::Host => unreachable!(),
        };
        refuse(&|d| d.steps.truncate(1), "1 steps of the device where 2 are needed");
        refuse(&|d| launch(d, &|l| l.function = 7), "no function has number 7");
        refuse(&|d| launch(d, &|l| l.arguments[0] = Argument::Buffer(BufferId(9))), "no buffer has number 9");
        refuse(&|d| launch(d, &|l| l.arguments[0] = Argument::Scratch(0)), "no scratch has number 0");
        refuse(&|d| launch(d, &|l| l.grid[0] = Expr::symbol(3)), "symbol 3");
        refuse(&|d| launch(d, &|l| l.grid[0] = Expr::constant(-1)), "size -1 of a grid");
        refuse(&|d| launch(d, &|l| l.shared = Expr::constant(1 << 20)), "size 1048576 of shared memory");
        refuse(&|d| d.functions[0].name = "other".into(), "named symbol not found");
        refuse(&|d| d.steps[0] = DeviceStep::Host, "form for the host");
        refuse(&|d| d.functions[0].block = [2048, 1, 1], "invalid argument");
    }
    close(&standin);
}
