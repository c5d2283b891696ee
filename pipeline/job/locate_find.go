package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Finds are what is to be located in an image, one a line, so that options can be compared. In JSON one is a string
// and several are a list.
type Finds string

const (
	maxFinds = 100  // of an image, each a question
	maxFind  = 1000 // bytes of one: the text of an element, or what it looks like
)

// NewFinds puts together what is to be located. Line breaks and other control characters in one, and one that is there twice,
// are errors.
func NewFinds(list []string) (Finds, error) {
	for _, find := range list {
		if strings.ContainsRune(find, '\n') {
			return "", fmt.Errorf("find %.40q: more than one line", find)
		}
	}
	f := Finds(strings.Join(list, "\n"))
	if len(list) == 1 && list[0] == "" {
		return "", fmt.Errorf("find %q: nothing is named", "")
	}
	return f, f.check()
}

// List are what is to be located, nil for all elements.
func (f Finds) List() []string {
	if f == "" {
		return nil
	}
	return strings.Split(string(f), "\n")
}

func (f Finds) several() bool { return strings.ContainsRune(string(f), '\n') }

func (f Finds) check() error {
	list := f.List()
	if len(list) > maxFinds {
		return fmt.Errorf("find: %d things in one image: at most %d", len(list), maxFinds)
	}
	for i, find := range list {
		switch {
		case strings.TrimSpace(find) == "":
			return fmt.Errorf("find %q: nothing is named", find)
		case len(find) > maxFind:
			return fmt.Errorf("find %.40q: %d bytes: at most %d", find, len(find), maxFind)
		case strings.ContainsFunc(find, unicode.IsControl):
			return fmt.Errorf("find %.40q: control characters", find)
		case slices.Contains(list[:i], find):
			return fmt.Errorf("find %.40q is there twice", find)
		}
	}
	return nil
}

// MarshalJSON writes one as a string, several as a list.
func (f Finds) MarshalJSON() ([]byte, error) {
	if f.several() {
		return Marshal(f.List())
	}
	return Marshal(string(f))
}

// UnmarshalJSON reads either.
func (f *Finds) UnmarshalJSON(data []byte) error {
	var list []string
	if len(data) > 0 && data[0] == '"' {
		list = make([]string, 1)
		if err := json.Unmarshal(data, &list[0]); err != nil {
			return err
		}
	} else if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("find: want a text or a list of texts")
	}
	var err error
	*f, err = NewFinds(list)
	return err
}
