package chat

import (
	"fmt"
	"slices"
	"strings"
)

// declaration writes a tool as the system turn announces it: the parts of its
// JSON schema that the template knows. What it does not know (minimum, format,
// enums of numbers …) is left out, as in the reference.
func (s *spans) declaration(f Function) error {
	parameters, err := schema(f.Parameters)
	if err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	response, err := schema(f.Response)
	if err != nil {
		return fmt.Errorf("response: %w", err)
	}
	s.control(toolOpen)
	s.text("declaration:" + f.Name + "{description:")
	s.quoted(f.Description)
	if len(parameters) > 0 {
		s.text(",parameters:{")
		if properties, _ := parameters.get("properties").(object); len(properties) > 0 {
			s.text("properties:{")
			if err := s.properties(properties, nil); err != nil {
				return fmt.Errorf("parameters: %w", err)
			}
			s.text("},")
		}
		if required, err := stringsOf(parameters, "required"); err != nil {
			return fmt.Errorf("parameters: %w", err)
		} else if len(required) > 0 {
			s.required(required)
			s.text(",")
		}
		if err := s.typeOf(parameters, "object"); err != nil {
			return fmt.Errorf("parameters: %w", err)
		}
		s.text("}")
	}
	if f.Response != nil {
		s.text(",response:{")
		if err := s.description(response, ","); err != nil {
			return fmt.Errorf("response: %w", err)
		}
		if err := s.typeOf(response, "object"); err != nil {
			return fmt.Errorf("response: %w", err)
		}
		s.text("}")
	}
	s.text("}")
	s.control(toolClose)
	return nil
}

// schema reads a JSON object; nothing and null are empty.
func schema(data []byte) (object, error) {
	if len(data) == 0 {
		return nil, nil
	}
	v, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok && v != nil {
		return nil, FormatError("not a JSON object")
	}
	return o, nil
}

// schemaKeys are the keys of an object schema that are not names of members.
var schemaKeys = []string{"description", "type", "properties", "required", "nullable"}

// properties writes the members of an object schema but for those in skip.
func (s *spans) properties(properties object, skip []string) error {
	first := true
	for _, p := range properties.sorted() {
		if slices.Contains(skip, p.key) {
			continue
		}
		if !first {
			s.text(",")
		}
		first = false
		s.text(p.key + ":{")
		o, _ := p.value.(object) // the reference, too, reads anything else as {}
		if err := s.property(o); err != nil {
			return fmt.Errorf("%s: %w", p.key, err)
		}
		s.text("}")
	}
	return nil
}

// property writes the inside of one member's schema, type last.
func (s *spans) property(o object) error {
	kind, nullable, err := schemaType(o, "")
	if err != nil {
		return err
	}
	if err := s.description(o, ","); err != nil {
		return err
	}
	switch kind {
	case "STRING":
		if enum, _ := o.get("enum").([]any); len(enum) > 0 {
			s.text("enum:")
			s.value(enum, quotedKeys)
			s.text(",")
		}
	case "ARRAY":
		if items, _ := o.get("items").(object); len(items) > 0 {
			s.text("items:{")
			if err := s.items(items); err != nil {
				return fmt.Errorf("items: %w", err)
			}
			s.text("},")
		}
	}
	if nullable {
		s.text("nullable:true,")
	}
	if kind == "OBJECT" {
		properties, ok := o.get("properties").(object)
		skip := []string(nil)
		if !ok { // the reference then takes the schema's other keys for members
			properties, skip = o, schemaKeys
		}
		s.text("properties:{")
		if err := s.properties(properties, skip); err != nil {
			return err
		}
		s.text("},")
		if required, err := stringsOf(o, "required"); err != nil {
			return err
		} else if len(required) > 0 {
			s.required(required)
			s.text(",")
		}
	}
	s.text("type:")
	s.quoted(kind)
	return nil
}

// items writes the inside of an array's element schema, all keys sorted.
func (s *spans) items(items object) error {
	first := true
	for _, m := range items.sorted() {
		if m.value == nil {
			continue
		}
		if !first {
			s.text(",")
		}
		first = false
		switch m.key {
		case "properties":
			s.text("properties:{")
			if properties, ok := m.value.(object); ok {
				if err := s.properties(properties, nil); err != nil {
					return err
				}
			}
			s.text("}")
		case "required":
			required, err := stringsOf(items, "required")
			if err != nil {
				return err
			}
			s.required(required)
		case "type":
			s.text("type:")
			if kind, ok := m.value.(string); ok {
				s.quoted(strings.ToUpper(kind))
				continue
			}
			kinds, err := stringsOf(items, "type")
			if err != nil {
				return err
			}
			var upper []any
			for _, kind := range kinds {
				upper = append(upper, strings.ToUpper(kind))
			}
			s.value(upper, quotedKeys)
		default:
			s.text(m.key + ":")
			s.value(m.value, quotedKeys)
		}
	}
	return nil
}

func (s *spans) description(o object, after string) error {
	d := o.get("description")
	text, ok := d.(string)
	if !ok && d != nil {
		return FormatError("a description that is not a string")
	}
	if text != "" {
		s.text("description:")
		s.quoted(text)
		s.text(after)
	}
	return nil
}

func (s *spans) required(names []string) {
	s.text("required:[")
	for i, name := range names {
		if i > 0 {
			s.text(",")
		}
		s.quoted(name)
	}
	s.text("]")
}

func (s *spans) typeOf(o object, missing string) error {
	kind, _, err := schemaType(o, missing)
	if err != nil {
		return err
	}
	s.text("type:")
	s.quoted(kind)
	return nil
}

// schemaType returns a schema's type in upper case, and whether null is
// allowed. The template has one type a value: a union with null becomes
// nullable, others cannot be said.
func schemaType(o object, missing string) (kind string, nullable bool, err error) {
	nullable, _ = o.get("nullable").(bool)
	switch v := o.get("type").(type) {
	case nil:
		return strings.ToUpper(missing), nullable, nil
	case string:
		return strings.ToUpper(v), nullable, nil
	case []any:
		kinds, err := stringsOf(o, "type")
		if err != nil {
			return "", false, err
		}
		rest := slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return k == "null" })
		if len(rest) == 1 {
			return strings.ToUpper(rest[0]), nullable || len(rest) < len(kinds), nil
		}
		return "", false, UnsupportedError(fmt.Sprintf("the union type %q", kinds))
	default:
		return "", false, FormatError("a type that is not a string")
	}
}

// stringsOf reads a list of strings under a key; nothing and null are empty.
func stringsOf(o object, key string) ([]string, error) {
	v := o.get(key)
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, FormatError(key + " is not a list of strings")
	}
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, FormatError(key + " is not a list of strings")
		}
		out = append(out, s)
	}
	return out, nil
}
