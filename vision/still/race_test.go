//go:build race

package still_test

// bounded says that the limit of memory is one: the race detector takes more than there is.
const bounded = false
