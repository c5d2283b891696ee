package child

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"facet/internal/sandbox"
)

// Input is the descriptor of the file in a decoder.
const Input = 3

// ExitCPU is the exit status of a decoder that used up its CPU time.
const ExitCPU = 71

// openFiles is the limit of open files: a runtime needs a few beside the pipes.
const openFiles = 32

// Confine shuts the calling process in, for good, and returns how, as JSON of a sandbox.Report. When the CPU time is used
// up, the process ends with ExitCPU and a line on errs that begins with name. In mode [sandbox.Require] a kernel that cannot
// close files and sockets to the process is an error.
func Confine(name string, memory int64, cpu time.Duration, mode sandbox.Mode, errs io.Writer) (json.RawMessage, error) {
	overtime(func() {
		// Unlike the kernel a second later, this says why.
		fmt.Fprintln(errs, name+": CPU time used up")
		os.Exit(ExitCPU)
	})
	report, err := sandbox.Apply(sandbox.Limits{Memory: memory, CPU: cpu, Files: openFiles, Open: mode == sandbox.Off})
	if err != nil {
		return nil, err
	}
	if mode == sandbox.Require && !report.Full() {
		return nil, fmt.Errorf("this kernel has no Landlock (%d) or no seccomp (%v), and the sandbox is required", report.Landlock, report.Seccomp)
	}
	return json.Marshal(report)
}
