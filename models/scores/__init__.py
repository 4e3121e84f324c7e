"""Estimators in scikit-learn's manners: parameters in, `fit` returns self, what was learned ends in `_`. No I/O."""
