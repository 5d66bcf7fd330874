use super::*;
use crate::dtype::Scalar;

#[test]
fn hidden_keys_weigh_nothing_and_a_blind_query_sees_zeros() {
    let tensor = |v: &[f64], shape: &[usize]| Tensor::from_slice("test", v, shape).unwrap();
    let (query, direction) = (tensor(&[0.3, -0.2, 0.1, 0.5], &[2, 1, 2]), tensor(&[1.5, -0.5], &[2]));
    let keys = tensor(&[0.1, 0.2, f64::NAN, f64::NAN, 0.4, -0.7, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3, 2]);
    let values = tensor(&[1.0, f64::INFINITY, 3.0, 1.0, 1.0, 1.0], &[2, 3, 1]);
    let mask = Tensor::scalar("test", Scalar::Bool(false), DType::Bool).unwrap();
    let seen = [true, false, true, false, false, false].map(Bool::new);
    let seen = Tensor::from_slice("test", &seen, &[2, 1, 3]).unwrap();
    let inputs = Inputs::new(&query, &keys, &direction, &values, Some(&seen)).unwrap();
    let (context, weights, _) = additive_attention(&inputs).unwrap();
    // SAFETY: nobody writes to them.
    let (context, weights) = unsafe { (context.as_slice::<f64>(), weights.as_slice::<f64>()) };
    let score = |a: f64, b: f64| 1.5 * (0.3 + a).tanh() - 0.5 * (b - 0.2).tanh();
    let (one, two) = (score(0.1, 0.2).exp(), score(0.4, -0.7).exp());
    assert!((weights[0] - one / (one + two)).abs() < 1e-14);
    assert!((context[0] - (one + 3.0 * two) / (one + two)).abs() < 1e-14);
    assert_eq!((weights[1], &weights[3..], context[1]), (0.0, &[0.0; 3][..], 0.0));
    assert!(Inputs::new(&query, &keys, &direction, &values, Some(&mask)).is_err());
    assert!(Inputs::new(&query, &values, &direction, &values, None).is_err());
}
