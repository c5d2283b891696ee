//go:build unix

package child

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// apart puts a child into a group of its own, so that an interrupt from the terminal reaches this process alone, which
// knows what to make of it. The child ends with its pipe.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// overtime calls end when the kernel says that this process's CPU time is used up.
func overtime(end func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGXCPU)
	go func() {
		<-c
		end()
	}()
}
