//go:build unix

package video

import (
	"os/exec"
	"syscall"
)

// apart puts a child into a group of its own, so that an interrupt from the terminal reaches this process alone, which
// knows what to make of it. The child ends with its pipe.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
