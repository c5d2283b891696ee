package source

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"facet/pipeline/job"
)

// columns are the names that the header of a .csv may have, and their kinds: the keys of an entry.
var columns = func() map[string]reflect.Kind {
	kinds := map[string]reflect.Kind{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[job.ErrorRecord]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && !f.Anonymous {
			kinds[name] = f.Type.Kind()
		}
	}
	return kinds
}()

// readCSV reads entries from comma-separated values (RFC 4180) with a header. An empty field says nothing.
func readCSV(r io.Reader, add func(line int, offset int64, p parsed)) error {
	bounded := &recordReader{r: r}
	in := csv.NewReader(bounded)
	var header []string
	for {
		bounded.left = maxEntry
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvError(err)
		}
		line, _ := in.FieldPos(0)
		if header == nil {
			if header, err = csvHeader(fields); err != nil {
				return fmt.Errorf("%d: %w", line, err)
			}
			continue
		}
		p, err := csvEntry(header, fields)
		if err != nil {
			return fmt.Errorf("%d: %w", line, err)
		}
		add(line, 0, p)
	}
}

func csvError(err error) error {
	var p *csv.ParseError
	switch {
	case !errors.As(err, &p):
		return fmt.Errorf(" %w", bare(err))
	case errors.Is(err, csv.ErrFieldCount):
		return fmt.Errorf("%d: not as many fields as the header has columns", p.StartLine)
	case errors.Is(err, csv.ErrQuote), errors.Is(err, csv.ErrBareQuote):
		return fmt.Errorf("%d: quotation marks that do not fit: a field with one begins and ends with one, and has each in it twice", p.StartLine)
	}
	return fmt.Errorf("%d: %w", p.StartLine, p.Err)
}

// csvHeader checks the names of the columns.
func csvHeader(fields []string) ([]string, error) {
	first, err := unmarked([]byte(fields[0]), nil)
	if err != nil {
		return nil, err
	}
	fields[0] = string(first)
	for i, name := range fields {
		name = strings.TrimSpace(name)
		switch {
		case slices.Contains(fields[:i], name):
			return nil, fmt.Errorf("column %.40q is there twice", name)
		case columns[name] == reflect.Invalid && len(fields) == 1 && strings.ContainsAny(name, ";\t"):
			return nil, errors.New("the columns are not parted by commas")
		case columns[name] == reflect.Invalid:
			return nil, fmt.Errorf("column %.40q is unknown", name)
		}
		fields[i] = name
	}
	if !slices.Contains(fields, "path") {
		return nil, errors.New("no column path")
	}
	return fields, nil
}

// csvEntry makes JSON of a record, so that there is one reading of entries.
func csvEntry(header, fields []string) (parsed, error) {
	var text bytes.Buffer
	text.WriteByte('{')
	for i, field := range fields {
		if field == "" {
			continue
		}
		raw, err := jsonOf(field, columns[header[i]])
		if err != nil {
			return parsed{}, fmt.Errorf("column %s: %.40q: %w", header[i], field, err)
		}
		if text.Len() > 1 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, "%q:%s", header[i], raw)
	}
	text.WriteByte('}')
	return parseEntry(text.Bytes())
}

// jsonOf writes a field as JSON of a kind.
func jsonOf(field string, kind reflect.Kind) ([]byte, error) {
	var v any = field
	var err error
	switch kind {
	case reflect.String:
		if !utf8.ValidString(field) {
			return nil, errors.New("not UTF-8")
		}
	case reflect.Bool:
		if v, err = strconv.ParseBool(strings.ToLower(field)); err != nil {
			return nil, errors.New("want true or false")
		}
	case reflect.Uint64:
		if v, err = strconv.ParseUint(field, 10, 64); err != nil {
			return nil, errors.New("want a whole number, not negative")
		}
	case reflect.Int:
		if v, err = strconv.Atoi(field); err != nil {
			return nil, errors.New("want a whole number")
		}
	case reflect.Float64:
		if v, err = strconv.ParseFloat(field, 64); err != nil {
			return nil, errors.New("want a number")
		}
	default:
		return nil, errors.New("this column is not for .csv")
	}
	raw, err := json.Marshal(v) // fails for NaN and infinities
	if err != nil {
		return nil, errors.New("want a number")
	}
	return raw, nil
}

// recordReader bounds what one record takes, since a quotation mark that is not closed takes all that follows.
type recordReader struct {
	r    io.Reader
	left int
}

func (r *recordReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("a record of more than %d bytes: is a quotation mark not closed?", maxEntry)
	}
	n, err := r.r.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
