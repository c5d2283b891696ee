//go:build !race

package still_test

const bounded = true
