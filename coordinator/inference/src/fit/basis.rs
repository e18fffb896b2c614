//! Least squares in few columns: an orthonormal basis grown column by column, with the triangular factor beside it.
//!
//! Every fit, scan and resample projects onto such a basis. Modified Gram-Schmidt with one re-orthogonalisation (Björck,
//! "Numerics of Gram-Schmidt orthogonalization", 1994) is as accurate as Householder reflections here, and lets a scan
//! price one more column without refitting. A basis never holds a column that depends on the ones before it.

/// A column is rejected when less than this share of its squared length is new.
const DEPENDENT: f64 = 1e-9;

/// Orthonormal columns `q`, and `r` with `columns = q r`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Basis {
    columns: Vec<Vec<f64>>,
    upper: Vec<Vec<f64>>,
}

impl Basis {
    /// Appends `column`; `false`, and nothing changed, when the basis already spans it.
    pub(crate) fn push(&mut self, mut column: Vec<f64>) -> bool {
        let length = dot(&column, &column);
        if !length.is_finite() || length <= 0.0 {
            return false;
        }
        let mut factors = vec![0.0; self.columns.len() + 1];
        for _ in 0..2 {
            for (q, factor) in self.columns.iter().zip(&mut factors) {
                let share = dot(q, &column);
                *factor += share;
                add_scaled(&mut column, q, -share);
            }
        }
        let rest = dot(&column, &column);
        if rest <= DEPENDENT * length {
            return false;
        }
        let norm = rest.sqrt();
        for value in &mut column {
            *value /= norm;
        }
        if let Some(last) = factors.last_mut() {
            *last = norm;
        }
        self.columns.push(column);
        self.upper.push(factors);
        true
    }

    /// The orthonormal columns.
    pub(crate) fn columns(&self) -> &[Vec<f64>] {
        &self.columns
    }

    /// What the basis leaves of `response`.
    pub(crate) fn residual(&self, response: &[f64]) -> Vec<f64> {
        let mut rest = response.to_vec();
        for q in &self.columns {
            let share = dot(q, &rest);
            add_scaled(&mut rest, q, -share);
        }
        rest
    }

    /// Squared length of what the basis leaves of `response`.
    pub(crate) fn residual_square(&self, response: &[f64]) -> f64 {
        let explained: f64 = self.columns.iter().map(|q| dot(q, response).powi(2)).sum();
        (dot(response, response) - explained).max(0.0)
    }

    /// The coefficient of each column pushed, in that order.
    pub(crate) fn solve(&self, response: &[f64]) -> Vec<f64> {
        let mut coefficients: Vec<f64> = self.columns.iter().map(|q| dot(q, response)).collect();
        for k in (0..coefficients.len()).rev() {
            coefficients[k] /= self.upper[k][k];
            let solved = coefficients[k];
            for (earlier, factor) in coefficients[..k].iter_mut().zip(&self.upper[k]) {
                *earlier -= factor * solved;
            }
        }
        coefficients
    }
}

/// Inner product, in four lanes so that the compiler can use vector registers.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (a_chunks, b_chunks) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..4 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f64>() + tail
}

fn add_scaled(target: &mut [f64], source: &[f64], factor: f64) {
    for (value, other) in target.iter_mut().zip(source) {
        *value += factor * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solve_returns_the_coefficients_of_an_exact_law() {
        let mut basis = Basis::default();
        let slope: Vec<f64> = (0..9).map(f64::from).collect();
        assert!(basis.push(vec![1.0; 9]));
        assert!(basis.push(slope.clone()));
        let response: Vec<f64> = slope.iter().map(|b| 3.0 - 0.5 * b).collect();
        let found = basis.solve(&response);
        assert!((found[0] - 3.0).abs() < 1e-12 && (found[1] + 0.5).abs() < 1e-12);
        assert!(basis.residual_square(&response) < 1e-12);
    }

    #[test]
    fn a_dependent_column_is_left_out() {
        let mut basis = Basis::default();
        assert!(basis.push(vec![1.0; 5]));
        assert!(!basis.push(vec![-7.0; 5]));
        assert!(!basis.push(vec![0.0; 5]));
        assert_eq!(basis.columns().len(), 1);
    }
}
