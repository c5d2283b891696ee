package weights

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// isGGUF and runsCode are the two answers a user is most likely to meet.
const (
	isGGUF   = UnsupportedError("a GGUF file where safetensors files are wanted: name the file itself as the model")
	runsCode = UnsupportedError("this is a pickle, which can run code when it is loaded, and is never read: convert it to safetensors")
)

// pickleNames are the endings under which PyTorch's pickles travel.
var pickleNames = []string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}

// Sniff returns nil if the file at path may be a safetensors file, judged by its
// name and its first bytes only.
//
// It refuses GGUF, pickles and the archives PyTorch wraps them in with an
// UnsupportedError, and things that are often found where weights should be, such
// as a Git LFS pointer, with a FormatError. Nothing in the file is interpreted. The
// first bytes count more than the name, so that a renamed pickle is found.
func Sniff(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", path, FormatError("not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 512) // one tar header block
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := sniffBytes(head[:n]); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return SniffName(path)
}

// SniffName is the part of Sniff that needs no file: it refuses the names of
// pickles and of GGUF files.
func SniffName(path string) error {
	ext := strings.ToLower(filepath.Ext(path))
	switch {
	case ext == ".gguf":
		return fmt.Errorf("%s: %w", path, isGGUF)
	case slices.Contains(pickleNames, ext):
		return fmt.Errorf("%s: %w", path, runsCode)
	}
	return nil
}

func sniffBytes(head []byte) error {
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case looksLikeSafetensors(head):
		return nil // before the pickles: a header of 640 bytes begins with 80 02 as they do
	case has("GGUF"), has("FUGG"):
		return isGGUF
	case has("PK\x03\x04"), has("PK\x05\x06"), // PyTorch since 1.6: a zip with data.pkl in it
		len(head) >= 262 && string(head[257:262]) == "ustar", // PyTorch before 0.4: a tar
		has("\x1f\x8b"), has("BZh"), has("\xfd7zXZ"), has("7z\xbc\xaf\x27\x1c"), has("\x28\xb5\x2f\xfd"):
		return UnsupportedError("this is an archive; PyTorch's archives hold pickles, which can run code, and are never read: convert it to safetensors")
	case len(head) >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5, // PROTO 2–5 (PEP 307, 574)
		has("(dp"), has("(lp"), has("(i"), has("cos\n"), has("cposix\n"), has("ctorch"), has("ccollections\n"), has("c__builtin__\n"), has("cbuiltins\n"):
		return runsCode
	case has("version https://git-lfs"):
		return FormatError("this is a Git LFS pointer, not the weights: run `git lfs pull`")
	case has("\x89HDF"), has("\x93NUMPY"):
		return UnsupportedError("HDF5 and NumPy files are not read: convert it to safetensors")
	}
	return nil
}

// looksLikeSafetensors reports whether head is a length under 2^32 and a brace, which
// no other magic known here can be: bytes 4 to 7 are zero in none of them.
func looksLikeSafetensors(head []byte) bool {
	return len(head) >= 9 && head[8] == '{' && bytes.Equal(head[4:8], []byte{0, 0, 0, 0})
}
