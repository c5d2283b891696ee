package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The bodies in C of another processor, compiled by a cross compiler and run by an
// emulator: all tests of this package and of tensor, on CPUs with and without the instructions that
// sets are chosen by. Debian calls what it needs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and
// qemu-user.
func TestOnArm64(t *testing.T) {
	const compiler, emulator, libraries = "aarch64-linux-gnu-gcc", "qemu-aarch64", "/usr/aarch64-linux-gnu"
	switch {
	case os.Getenv("FACET_FULL") == "":
		t.Skip("FACET_FULL is not set")
	case runtime.GOARCH == "arm64":
		t.Skip("this is one")
	}
	for _, tool := range []string{"go", compiler, emulator} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	var tests []string
	for _, pkg := range []string{"kernel", "tensor"} {
		test := filepath.Join(dir, pkg+".test")
		build := exec.Command("go", "test", "-c", "-o", test, "facet/internal/"+pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS=linux", "GOARCH=arm64", "CC="+compiler)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", build, err, out)
		}
		tests = append(tests, test)
	}
	run := func(t *testing.T, cpu, test string, args ...string) string {
		t.Helper()
		cmd := exec.Command(emulator, append([]string{"-L", libraries, "-cpu", cpu, test}, args...)...)
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
			return strings.HasPrefix(v, "FACET_FULL=") || strings.HasPrefix(v, Environment+"=")
		})
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
		return string(out)
	}
	here := digests(t)
	for _, c := range []struct{ cpu, kernels, halves string }{
		{"cortex-a53", "neon", "neon"},
		{"neoverse-n1", "dotprod", "neon"},
		{"max", "i8mm", "bf16"},
	} {
		t.Run(c.cpu, func(t *testing.T) {
			out := run(t, c.cpu, tests[0], "-test.v", "-test.run", "^TestDigests$")
			if want := fmt.Sprintf("kernels %s, %s\n", c.kernels, c.halves); !strings.Contains(out, want) {
				t.Errorf("want %sgot %s", want, out)
			}
			for _, d := range here {
				if !strings.Contains(out, d) {
					t.Errorf("other bits than this processor's: want %s, got\n%s", d, out)
				}
			}
			for _, test := range tests {
				out := run(t, c.cpu, test)
				t.Logf("%s: %s", filepath.Base(test), out)
			}
		})
	}
}

// The sets in C give the same bits, whatever the processor: TestOnArm64 compares what
// this logs. Products by VDPBF16PS and BFDOT, which round in ways of their own, are left out.
func TestDigests(t *testing.T) {
	t.Logf("kernels %s, %s", Name(), BF16Name())
	seen := map[string]string{}
	for _, d := range digests(t) {
		t.Log(d)
		kind := regexp.MustCompile(`^\S+`).FindString(d)
		if other, ok := seen[kind]; ok && other != d {
			t.Errorf("two sets in C give %s and %s", other, d)
		}
		seen[kind] = d
	}
}

// digests returns a hash for each set in C of each kind.
func digests(t *testing.T) (list []string) {
	const rows, outs, in = 7, 21, 256 + 13
	// Equal numbers on every processor: no function of math, and no product and sum that
	// might be fused.
	r := source()
	numbers := func(n int) []float32 {
		s := make([]float32, n)
		for i := range s {
			s[i] = 4 * (r.Float32() - r.Float32())
		}
		return s
	}
	x, y, z, w := numbers(rows*in), numbers(rows*in), numbers(rows*in), numbers(outs*in)
	keys, values := numbers(PageKeys*72), numbers(PageKeys*72)
	add := func(kind string, run func(h io.Writer)) {
		h := sha256.New()
		run(h)
		list = append(list, fmt.Sprintf("%s %x", kind, h.Sum(nil)))
	}
	write := func(h io.Writer, v any) { binary.Write(h, binary.LittleEndian, v) }

	eachSet(t, func(t *testing.T) {
		if chosen == &portable {
			return
		}
		add("floats", func(h io.Writer) {
			for _, k := range elementwise {
				d := slices.Clone(z)
				k.run(d, x, y)
				write(h, d)
			}
			d := make([]float32, rows*in)
			write(h, ExpSum(d, x, Max(x)))
			RMSNormRows(d, x, in, w[:in], 1e-6)
			write(h, d)
			RopeHeads(d, rows, in, y[:in/2], z[:in/2])
			write(h, d)
			for _, f := range []format{f32, bf16, f16} {
				b, _ := encode(f, w)
				matMulBytes("MatMul", f, product{d, outs, x, in, rows, in, outs, in}, b)
				WeightedSum(d, outs, x, in, rows, w, in, in/16, outs)
				write(h, d)
			}
		})
	})
	eachInt8Set(t, func(t *testing.T) {
		if chosenInt8 == &portableInt8 {
			return
		}
		add("integers", func(h io.Writer) {
			xq := make([]byte, rows*QuantizedBytes(256))
			QuantizeRows(xq, x, in, rows, 256)
			write(h, xq)
			for q := range Quant(len(quantFormats)) {
				d := make([]float32, rows*outs)
				q.MatMul(d, outs, xq, rows, q.packed(q.randomRows(source(), outs, 256), outs, 256), 0, outs, 256)
				write(h, d)
			}
		})
	})
	eachBF16Set(t, func(t *testing.T) {
		if chosenBF16 == &portableBF16 || chosenBF16.name == "avx512bf16" || chosenBF16.name == "bf16" {
			return
		}
		add("halves", func(h io.Writer) {
			o := newHalfOperands(source(), rows, outs, in)
			d := make([]float32, rows*outs)
			MatMulBF16Rows(d, outs, o.x, o.xStride, rows, asBytes(o.w), o.wStride, outs, in)
			write(h, d)
			MatMulBF16Panels(d, outs, o.x, o.xStride, rows, o.panels, outs, in, -100, float32(math.Inf(1)))
			write(h, d)
			s := &keySet{dim: 72, k: keys, v: values, pages: [][]uint16{make([]uint16, PageLen(72))}}
			PutKeys(s.pages[0], 0, keys, 72, values, 72, PageKeys, 72)
			write(h, s.attendAll(x, 20, 4, func(r int) (int, int) { return r, 3 + 6*r }, true))
		})
	})
	return list
}
