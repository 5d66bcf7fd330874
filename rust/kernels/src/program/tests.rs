use super::*;
use crate::dtype::{DType, Scalar};
use crate::ops::elementwise::{Binary, Unary, binary, unary};
use crate::ops::matmul::matmul;
use crate::tensor::Tensor;
use std::slice::from_ref;

fn meta(shape: &[usize]) -> Meta {
    Meta { shape: shape.into(), dtype: DType::F64 }
}

fn filled(shape: &[usize], scale: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| scale * ((i * 37 % 19) as f64 - 9.0)).collect();
    Tensor::from_slice("test", &values, shape).unwrap()
}

fn line(name: &str, args: &[Value], out: usize) -> Line {
    (name.into(), args.to_vec(), vec![Some(out)])
}

fn values(t: &Tensor) -> Vec<f64> {
    // SAFETY: tests hold their tensors alone.
    unsafe { t.as_slice::<f64>() }.to_vec()
}

/// `h' = tanh(x u + h w)` for a batch of `rows`, without a derivative.
fn plain(rows: usize) -> Recording {
    use Value::Slot;
    Recording {
        metas: [[rows, 3], [rows, 5], [3, 5], [5, 5], [rows, 5], [rows, 5], [rows, 5], [rows, 5]]
            .map(|s| meta(&s))
            .to_vec(),
        inputs: vec![0],
        states: vec![1],
        captured: vec![2, 3],
        forward: vec![
            line("matmul", &[Slot(0), Slot(2)], 4),
            line("matmul", &[Slot(1), Slot(3)], 5),
            line("add", &[Slot(4), Slot(5), Value::Number(Scalar::Int(1))], 6),
            line("tanh", &[Slot(6)], 7),
        ],
        outputs: vec![7],
        next: vec![7],
        ..Recording::default()
    }
}

#[test]
fn steps_follow_each_other_for_few_and_for_many_rows() {
    for rows in [1, 7, 16, 50] {
        let program = Program::new(plain(rows)).unwrap();
        // The state's product and one chain are left to the loop. The input's product is made at once, or in
        // the loop where parts of the batch go apart.
        assert_eq!(program.census()[0], if rows < 16 { [1, 2, 0] } else { [0, 3, 0] });
        let (x, u, w) = (filled(&[4, rows, 3], 0.1), filled(&[3, 5], 0.05), filled(&[5, 5], 0.04));
        let mut h = filled(&[rows, 5], 0.1);
        let done =
            program.forward(from_ref(&x), from_ref(&h), &[u.clone(), w.clone()], 4, (0, 0), false).unwrap();
        for t in 0..4 {
            let xt = x.with_layout(x.layout().select(0, t));
            let (a, b) = (matmul(&xt, &u).unwrap(), matmul(&h, &w).unwrap());
            let sum = binary(Binary::Add, (&a).into(), (&b).into(), None).unwrap();
            h = unary(Unary::Tanh, &sum, None).unwrap();
            let ours = &values(&done.outputs[0])[t * rows * 5..(t + 1) * rows * 5];
            assert!(ours.iter().zip(values(&h)).all(|(a, b)| (a - b).abs() < 1e-12), "{rows} rows, step {t}");
        }
        assert_eq!(values(&done.states[0]), values(&done.outputs[0])[3 * rows * 5..]);
    }
}

#[test]
fn an_unknown_operation_and_wrong_tensors_are_errors() {
    let mut rec = plain(2);
    rec.forward[3].0 = "sort".into();
    assert!(Program::new(rec).err().unwrap().to_string().contains("sort"));
    let program = Program::new(plain(2)).unwrap();
    let (x, h, u, w) =
        (filled(&[4, 2, 3], 1.0), filled(&[2, 5], 1.0), filled(&[3, 5], 1.0), filled(&[5, 5], 1.0));
    let run = |x: &Tensor, steps| {
        program.forward(from_ref(x), from_ref(&h), &[u.clone(), w.clone()], steps, (0, 0), false)
    };
    assert!(run(&x, 4).is_ok());
    let text = run(&x, 3).err().unwrap().to_string();
    assert!(text.contains("as input a tensor of shape [3, 2, 3]"), "{text}");
    assert!(run(&filled(&[0, 2, 3], 1.0), 0).err().unwrap().to_string().contains("at least one step"));
}

#[test]
fn numbers_of_values_that_are_not_there_are_errors() {
    use Value::Slot;
    let with = |change: &dyn Fn(&mut Recording)| {
        let mut rec = plain(2);
        change(&mut rec);
        Program::new(rec).err().unwrap().to_string()
    };
    let text = with(&|rec| rec.forward[0].1[1] = Slot(70));
    assert!(text.contains("has 8 values, numbered from 0, and an argument of matmul is number 70"), "{text}");
    let text = with(&|rec| rec.forward[0].1[0] = Slot(6));
    assert!(text.contains("an argument of matmul is value 6, which nothing has made before"), "{text}");
    let text = with(&|rec| rec.forward[3].2[0] = Some(6));
    assert!(text.contains("a result of tanh is value 6, which is there already"), "{text}");
    let text = with(&|rec| rec.next = vec![]);
    assert!(text.contains("has 0 next states, expected 1, one for each state"), "{text}");
    let text = with(&|rec| rec.next = vec![0]);
    assert!(text.contains("a state of shape [2, 5] and type float64 becomes one of shape [2, 3]"), "{text}");
    let ends = || Ends { outputs: vec![None], next: vec![None], inputs: vec![None], ..Ends::default() };
    let text = with(&|rec| rec.ends = Some(ends()));
    assert!(text.contains("has 0 gradients of states, expected 1"), "{text}");
    let wrong = || Ends { states: vec![Some(7)], captured: vec![vec![], vec![9]], ..ends() };
    let text = with(&|rec| rec.ends = Some(wrong()));
    assert!(text.contains("a gradient that goes out is number 9"), "{text}");
}
