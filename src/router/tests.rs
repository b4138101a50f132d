//! Tests of the router against the plain reading of the standard.
