//! What happens when the device or the driver fails: none of it may panic, hang or give a wrong number.
//!
//! Each fault gets a process of its own, because the device is one for all tests.

use super::context::{self, Context};
use super::*;
use crate::error::Error;
use crate::tensor::Tensor;
use std::process::Command;

fn available() -> bool {
    let there = is_available();
    assert!(there || std::env::var("LECTORIUM_CI").as_deref() != Ok("1"), "CI must have an adapter");
    if !there {
        eprintln!("skipped: no adapter");
    }
    there
}

fn rerun(test: &str) {
    if !available() {
        return;
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("gpu::tests::{test}"), "--nocapture", "--include-ignored"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

fn tensor(values: &[f32]) -> Tensor {
    upload("to", &Tensor::from_slice("t", values, &[values.len()]).unwrap()).unwrap()
}

fn first(t: &Tensor) -> Result<f32> {
    // SAFETY: nobody else has the copy.
    download("to", t).map(|t| unsafe { t.as_slice::<f32>() }[0])
}

fn ctx() -> &'static Context {
    context::get("test").unwrap()
}

#[test]
#[ignore = "runs by way of a_lost_device_is_an_error_from_then_on"]
fn lost() {
    let x = tensor(&[1.0, 2.0]);
    let y = unary("relu", &x).unwrap();
    ctx().device.destroy();
    let _ = ctx().device.poll(wgpu::PollType::Poll);
    for r in [
        download("to", &y),
        upload("to", &Tensor::zeros("t", &[2], crate::DType::F32).unwrap()),
        unary("relu", &x),
    ] {
        let e = r.err().expect("an error");
        assert!(
            matches!(&e, Error::Device { msg, .. } if msg.contains("lost") && msg.contains("restart")),
            "{e}"
        );
    }
    assert!(synchronize().is_err() && !is_available());
    drop((x, y));
}

#[test]
fn a_lost_device_is_an_error_from_then_on() {
    rerun("lost");
}

#[test]
#[ignore = "runs by way of work_that_fails_to_run_leaves_no_tensor_with_wrong_values"]
fn failed_flush() {
    let good = tensor(&[1.0, 2.0]);
    synchronize().unwrap();
    let x = tensor(&[3.0]);
    let lost = unary("relu", &good).unwrap();
    ctx().recorder().break_encoder(ctx());
    let e = synchronize().expect_err("an error");
    assert!(matches!(&e, Error::Runtime { op: "synchronize", msg } if msg.contains("refused")), "{e}");
    for r in [first(&lost).map(|_| ()), unary("relu", &lost).map(|_| ()), first(&x).map(|_| ())] {
        let e = r.expect_err("an error");
        assert!(matches!(&e, Error::Runtime { msg, .. } if msg.contains("its computation failed")), "{e}");
    }
    // Everything else goes on.
    assert_eq!(first(&good), Ok(1.0));
    assert_eq!(first(&binary("add", &good, &tensor(&[4.0])).unwrap()), Ok(5.0));
}

#[test]
fn work_that_fails_to_run_leaves_no_tensor_with_wrong_values() {
    rerun("failed_flush");
}

#[test]
#[ignore = "runs by way of errors_outside_every_call_come_up_at_the_next_one"]
fn uncaptured() {
    let x = tensor(&[1.0]);
    // Over the limit is a validation error, and nobody is listening.
    let usage = wgpu::BufferUsages::STORAGE;
    let size = ctx().limits.max_buffer_size + 4;
    drop(ctx().device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    }));
    assert!(is_available(), "the device itself is well");
    let e = unary("relu", &x).err().expect("an error");
    assert!(
        matches!(&e, Error::Runtime { op: "relu", msg } if msg.contains("an earlier operation failed")),
        "{e}"
    );
    assert_eq!(first(&unary("relu", &x).unwrap()), Ok(1.0));
    // Where somebody listens, it is that call's error; so is a panic of the graphics layer.
    let make = || {
        ctx().device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    assert!(matches!(ctx().scoped("mine", make), Err(Error::Runtime { op: "mine", .. })));
    let panicked = ctx().scoped("mine", || panic!("no {}", "luck"));
    assert!(matches!(&panicked, Err(Error::Runtime { op: "mine", msg }) if msg.contains("no luck")));
    assert_eq!(first(&x), Ok(1.0));
}

#[test]
fn errors_outside_every_call_come_up_at_the_next_one() {
    rerun("uncaptured");
}

#[test]
fn exhaustion_is_a_memory_error() {
    let e = context::into_error("add", wgpu::Error::OutOfMemory { source: "none left".into() });
    assert!(matches!(e, Error::Memory { op: "add", .. }));
}
