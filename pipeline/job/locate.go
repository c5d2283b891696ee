package job

import (
	"fmt"
	"strings"
)

// Locate asks where elements of an interface are: those that Options.Find names, each by a question of its own, or all.
var Locate = Job{
	Name:      "locate",
	MaxTokens: 4096, // a full screen: 100 elements of 40 tokens
	Media:     []Medium{Image},
	Asks:      askLocate,
	Own:       ownLocate,
	Read:      readLocate,
}

func ownLocate(o Options) (Options, error) {
	rest := o
	rest.Budget, rest.DPI, rest.Find = 0, 0, ""
	return o, rest.strange()
}

// findMark is where a prompt has what is to be found.
const findMark = "{find}"

// The questions for released checkpoints. The first sentence and the form of the answer are those that Google shows for
// Gemma 4's pointing at elements (the announcement of Gemma 4): y first, from 0 to 1000.
const (
	askFind = `What is the bounding box for the {find} element in the image? Answer with a JSON list that has one entry for each place where it is: ` +
		`[{"box_2d": [y1, x1, y2, x2], "label": "its text"}]. Coordinates are integers from 0 to 1000. If it is not there, answer [].`
	askList = `List every element of the user interface in the image. Answer with a JSON list that has one entry for each, from top to bottom: ` +
		`[{"box_2d": [y1, x1, y2, x2], "label": "its text, or what it shows", "role": "button"}]. ` +
		`Roles are button, link, input, checkbox, radio, tab, menu, icon, image, text and other. ` +
		`Coordinates are integers from 0 to 1000. If there is none, answer [].`
)

// askLocate words the questions. A prompt of the user or of the checkpoint has {find} where the name belongs; the job's own
// puts it in quotation marks.
func askLocate(o Options, s Setting) ([]Ask, error) {
	finds := o.Find.List()
	template, list, quote := askFind, askList, true
	switch {
	case o.Prompt != "":
		marked := strings.Contains(o.Prompt, findMark)
		if marked && len(finds) == 0 {
			return nil, fmt.Errorf("the prompt has a place for what to find, %s, and nothing to find is named", findMark)
		}
		if !marked && len(finds) > 0 {
			return nil, fmt.Errorf("find %.40q has no place in a prompt of your own without %s", finds[0], findMark)
		}
		template, list, quote = o.Prompt, o.Prompt, false
	case s.Prompt != "" || s.List != "":
		template, list, quote = s.Prompt, s.List, false
		if len(finds) == 0 && list == "" {
			return nil, fmt.Errorf("this checkpoint finds what is named, and cannot list all elements: name something to find")
		}
		if len(finds) > 0 && template == "" {
			return nil, fmt.Errorf("find %.40q: this checkpoint knows one prompt only, %q", finds[0], s.List)
		}
	}
	if len(finds) == 0 {
		return []Ask{{Text: list}}, nil
	}
	asks := make([]Ask, len(finds))
	for i, find := range finds {
		name := find
		if quote {
			name = fmt.Sprintf("%q", find)
		}
		asks[i] = Ask{find, strings.ReplaceAll(template, findMark, name)}
	}
	return asks, nil
}

// checkFind holds the prompts of a checkpoint to what askLocate makes of them.
func (s Setting) checkFind(j Job) error {
	switch {
	case j.Asks == nil && s.List != "":
		return fmt.Errorf("list: only locate has such a question")
	case j.Asks != nil && s.Prompt != "" && !strings.Contains(s.Prompt, findMark):
		return fmt.Errorf("prompt %.40q has no place for what to find: %s", s.Prompt, findMark)
	case len(s.List) > maxPrompt:
		return fmt.Errorf("list of %d bytes: at most %d", len(s.List), maxPrompt)
	}
	return nil
}

// readLocate reads the replies about one image, one a question.
func readLocate(rec *Record, replies []Reply) {
	w := warnings{list: rec.Warnings}
	rec.Finish, rec.Elements, rec.Effective.Find = FinishStop, []Element{}, nil
	for _, r := range replies {
		if r.Width <= 0 || r.Height <= 0 {
			panic(fmt.Sprintf("job: locate: image of %d x %d pixels", r.Width, r.Height))
		}
		rec.asked(r)
		if r.Find != "" {
			rec.Effective.Find = append(rec.Effective.Find, r.Find)
		}
		l := locateReader{reply: r.kept(), several: len(replies) > 1, finish: r.Finish, warnings: w}
		rec.Elements = append(rec.Elements, l.read()...)
		w = l.warnings
		if rec.Finish == FinishStop {
			rec.Finish = l.finish
		}
	}
	names := make([]string, len(rec.Elements))
	for i, e := range rec.Elements {
		names[i] = e.Name()
	}
	rec.Text = strings.Join(names, "\n")
	rec.Warnings = w.all()
}

// Name is what people call an element: its label, or else what it was found as, or its role.
func (e Element) Name() string {
	switch {
	case e.Label != "":
		return e.Label
	case e.Find != "":
		return e.Find
	}
	return e.Role
}

// locateReader is one reading of one reply.
type locateReader struct {
	reply   Reply
	several bool // it is one of several about the image
	finish  Finish
	warnings
}

// warn says which question a warning is about where there are several.
func (l *locateReader) warn(format string, args ...any) {
	if l.several {
		format, args = "%q: "+format, append([]any{l.reply.Find}, args...)
	}
	l.warnings.warn(format, args...)
}

// fault marks a complete reply that is not in the form asked for.
func (l *locateReader) fault(format string, args ...any) {
	l.warn(format, args...)
	if l.finish == FinishStop {
		l.finish = FinishSchema
	}
}

// read reads a list of elements. That there is none is an answer if the reply says so by an empty list, and by nothing else.
func (l *locateReader) read() (elements []Element) {
	switch l.reply.Finish {
	case FinishLength:
		l.warn("the reply was cut at the token limit: elements may be missing")
	case FinishLoop:
		l.warn("the model %s and was stopped: what it repeated is there once, and elements may be missing", l.reply.looped())
	}
	s := l.reply.text()
	found := findEntries(s)
	complete := l.reply.Finish == FinishStop
	switch {
	case !found.list && strings.TrimSpace(s) == "":
		l.fault("the reply is empty, which says nothing")
		return nil
	case !found.list:
		l.fault("the reply has no list of elements: %q", excerpt(strings.TrimSpace(s)))
		return nil
	case !found.valid && complete: // a cut list has its warning
		l.fault("the reply is not valid JSON and was read with repairs")
	}
	switch {
	case found.pieces() && complete:
		l.fault("left out pieces of elements that could not be read: %q", excerpt(found.prose))
	case found.prose != "":
		l.warn("left out what stands around the list: %q", excerpt(found.prose))
	}
	if found.strange > 0 {
		l.fault("left out %d objects that have neither label nor box", found.strange)
	}
	prob := newConfidences(l.reply.Tokens)
	seen := make(map[Element]bool, len(found.entries))
	repeated := 0
	for i, entry := range found.entries {
		e, ok := l.element(entry, i+1)
		switch {
		case !ok:
			continue
		case seen[e]:
			repeated++
			continue
		}
		seen[e] = true
		if entry.hasText() {
			e.Confidence = prob.span(entry.text.start, entry.text.end)
		}
		elements = append(elements, e)
	}
	if repeated > 0 {
		l.warn("left out %d repeated elements", repeated)
	}
	return elements
}

// element reads the n-th entry of a list. One without a place that can be used is no use, and a fault: the answer
// would be as one that there is no such element.
func (l *locateReader) element(entry entry, n int) (e Element, ok bool) {
	box, notes, _ := entry.box.box()
	for _, note := range notes {
		if box == (Box2D{}) {
			l.fault("element %d: %s", n, note)
		} else {
			l.warn("element %d: %s", n, note)
		}
	}
	if box == (Box2D{}) {
		return Element{}, false
	}
	e.Box2D, e.Box, e.Find = box, box.Pixels(l.reply.Width, l.reply.Height), l.reply.Find
	e.Point = [2]int{(e.Box[0] + e.Box[2]) / 2, (e.Box[1] + e.Box[3]) / 2} // the end is exclusive: it lies in the box
	if entry.hasText() {
		e.Label = entry.text.text
	}
	if r := entry.role; r != nil && r.kind == text && r.closed {
		e.Role = r.text
	}
	if e.Label == "" && e.Role == "" {
		l.fault("element %d: no label", n)
	}
	return e, true
}
