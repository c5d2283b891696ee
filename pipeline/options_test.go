package pipeline

import (
	"reflect"
	"testing"

	"facet/pipeline/job"
)

func TestOptionsOver(t *testing.T) {
	run := job.Options{Budget: 70, Boxes: job.BoxesLine, Language: "German", Prompt: "Read.", MaxTokens: 10, Temperature: 1, Seed: 2}
	if got := over(job.Options{}, run); got != run {
		t.Errorf("got %+v, want those of the run", got)
	}
	item := job.Options{Budget: 140, Boxes: job.BoxesNone, Language: "Danish", Prompt: "Say.", MaxTokens: 20, Temperature: 0.5, Seed: 3}
	if got := over(item, run); got != item {
		t.Errorf("got %+v, want those of the item", got)
	}
}

// No option is forgotten.
func TestOptionsOverAll(t *testing.T) {
	var run job.Options
	for _, f := range reflect.VisibleFields(reflect.TypeFor[job.Options]()) {
		switch v := reflect.ValueOf(&run).Elem().FieldByIndex(f.Index); v.Kind() {
		case reflect.Struct: // whose fields come as well
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int:
			v.SetInt(7)
		case reflect.Uint64:
			v.SetUint(7)
		case reflect.Float64:
			v.SetFloat(0.5)
		default:
			t.Fatalf("%s is a %v", f.Name, v.Kind())
		}
	}
	if got := over(job.Options{}, run); got != run {
		t.Errorf("got %+v, want those of the run, %+v", got, run)
	}
}

// A manifest that asks for subtitles does so whatever length of pieces the run has.
func TestOverSubtitles(t *testing.T) {
	a, b := job.Options{Listening: job.Listening{Subtitles: true}}, job.Options{Listening: job.Listening{Segment: 10}}
	if got := over(a, b); got != a {
		t.Errorf("got %+v", got)
	}
	if got := over(b, a); got != b {
		t.Errorf("got %+v", got)
	}
}
