package model

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// pageKinds make pages of the kinds that repeat themselves and are no loops, as lines. No page has more than 72
// lines, which is what fits a sheet, and of those that are equal and have words in them no more than forty.
var pageKinds = map[string]func(r *rand.Rand) []string{
	"table of forty columns": func(r *rand.Rand) []string {
		cells := pick(r, []string{"0"}, []string{"0.00"}, []string{"-"}, []string{"x", " "}, []string{"1", "2", "3"}, []string{"n/a"}, []string{"0,00", "1.234,56"})
		lines := []string{"| " + strings.Join(slicesOf(40, func(i int) string { return fmt.Sprintf("c%d", i+1) }), " | ") + " |", strings.Repeat("|---", 40) + "|"}
		for range 4 + r.IntN(30) {
			lines = append(lines, "| "+strings.Join(slicesOf(40, func(int) string { return pick(r, cells...) }), " | ")+" |")
		}
		return lines
	},
	"dot leaders": func(r *rand.Rand) []string {
		width, dot := 40+r.IntN(160), pick(r, ".", ". ", "·", "_", "… ")
		return slicesOf(20+r.IntN(50), func(i int) string {
			head := fmt.Sprintf("%d.%d %s ", i/5+1, i%5+1, words(r, 1+r.IntN(4)))
			return head + strings.Repeat(dot, max(3, (width-len(head))/len([]rune(dot)))) + fmt.Sprint(" ", i*3+r.IntN(3))
		})
	},
	"hex dump": func(r *rand.Rand) []string {
		width, fill := pick(r, 8, 16, 32), pick(r, 0, 0, 255, -1)
		return slicesOf(30+r.IntN(42), func(i int) string {
			var hex, text strings.Builder
			for range width {
				b := fill
				if b < 0 || r.IntN(200) == 0 {
					b = r.IntN(256)
				}
				fmt.Fprintf(&hex, "%02x ", b)
				if b > 32 && b < 127 {
					text.WriteByte(byte(b))
				} else {
					text.WriteByte('.')
				}
			}
			return fmt.Sprintf("%08x  %s |%s|", i*width, hex.String(), text.String())
		})
	},
	"plain dump": func(r *rand.Rand) []string { // without addresses: all lines may be equal
		line := strings.Repeat(pick(r, "00", "99", "00 ", "0"), 8+r.IntN(24))
		return slicesOf(30+r.IntN(42), func(int) string { return line })
	},
	"zeros": func(r *rand.Rand) []string {
		zero, columns := pick(r, "0", "0.00", "0,0", "-", "0 %", "00:00"), 3+r.IntN(20)
		row := strings.Join(slicesOf(columns, func(int) string { return zero }), pick(r, " ", "  ", "\t"))
		return slicesOf(20+r.IntN(52), func(int) string { return row })
	},
	"ledger": func(r *rand.Rand) []string {
		what := []string{"Rent", "Salary", "Carried forward", "Cash", "do.", "Interest"}
		n := 1 + r.IntN(len(what))
		sum := 0
		return slicesOf(40+r.IntN(30), func(i int) string {
			amount := pick(r, 50000, 50000, 120000, 999)
			sum += amount
			return fmt.Sprintf("%02d/%02d/2023 %s %d.%02d %d.%02d", i%28+1, i/6+1, what[i%n], amount/100, amount%100, sum/100, sum%100)
		})
	},
	"rent book": func(r *rand.Rand) []string { // nothing changes but the month
		return slicesOf(48+r.IntN(24), func(i int) string { return fmt.Sprintf("%02d.%d Miete 412,00 bezahlt", i%12+1, 1990+i/12) })
	},
	"code": func(r *rand.Rand) []string {
		var lines []string
		for i := range 6 + r.IntN(12) {
			lines = append(lines, pick(r,
				fmt.Sprintf("    case %d:\n        x[%d] = 0;\n        break;", i, i),
				"    if err != nil {\n        return err\n    }",
				"    "+strings.Repeat("0x00, ", 8+r.IntN(24)),
				fmt.Sprintf("\tmov eax, [ebp-%d]\n\tpush eax\n\tcall _free\n\tadd esp, 4", 4*i),
				"    "+strings.Repeat("{ 0, 0, 0 }, ", 2+r.IntN(6))+"\n        }\n    }\n}"))
		}
		lines = strings.Split(strings.Join(lines, "\n"), "\n")
		return lines[:min(72, len(lines))]
	},
	"song": func(r *rand.Rand) []string {
		refrain := slicesOf(1+r.IntN(4), func(int) string {
			return pick(r, "la la la la la la la la", "na na na na", "We all live in a yellow house", "Hey hey, ho ho", "Halleluja", "(Repeat)")
		})
		var lines []string
		for len(lines) < 40+r.IntN(20) {
			for range r.IntN(4) {
				lines = append(lines, words(r, 4+r.IntN(5)))
			}
			for range 1 + r.IntN(4) {
				lines = append(lines, refrain...)
			}
		}
		return lines[:min(len(lines), 72)]
	},
	"chant": func(r *rand.Rand) []string { // nothing but the refrain
		line := pick(r, "Hare hare", "Kyrie eleison", "Amen", "om mani padme hum", "Ora pro nobis")
		return slicesOf(20+r.IntN(21), func(int) string { return line })
	},
	"survey": func(r *rand.Rand) []string {
		columns := 1 + r.IntN(3)
		row := strings.Join(slicesOf(columns, func(int) string { return pick(r, "Yes", "No", "N/A") }), "  ")
		return slicesOf(20+r.IntN(21), func(int) string { return row })
	},
	"blank form": func(r *rand.Rand) []string {
		rule := strings.Repeat(pick(r, "_", "-", ".", "="), 40+r.IntN(160))
		return slicesOf(20+r.IntN(52), func(i int) string {
			return pick(r, rule, rule, rule, fmt.Sprintf("%d) %s", i, rule[:30]))
		})
	},
	"numbered": func(r *rand.Rand) []string {
		label := pick(r, "", "Seat ", "Fig. ", "Item no. ", "§ ")
		return slicesOf(40+r.IntN(32), func(i int) string { return fmt.Sprintf("%s%d", label, i+1) })
	},
	"pupil's lines": func(r *rand.Rand) []string {
		line := pick(r, "I must not talk in class.", "I will do my homework.", "Ich soll nicht schwätzen.")
		return slicesOf(20+r.IntN(21), func(int) string { return line })
	},
	"timesheet": func(r *rand.Rand) []string {
		rows := []string{"in 08:00", "out 16:30", "pause 00:30"}[:2+r.IntN(2)]
		return slicesOf(20+r.IntN(21), func(i int) string { return rows[i%len(rows)] })
	},
	"multiplication": func(r *rand.Rand) []string {
		return slicesOf(12+r.IntN(60), func(i int) string { return fmt.Sprintf("%d x %d = %d", i%12+1, i/12+1, (i%12+1)*(i/12+1)) })
	},
	"dictionary": func(r *rand.Rand) []string {
		return slicesOf(40+r.IntN(30), func(int) string { return words(r, 1) + ", " + pick(r, "n.", "v.", "adj.") + " see " + words(r, 1) })
	},
	"sequence": func(r *rand.Rand) []string { // of bases, with repeats
		unit := pick(r, "ac", "cag", "a", "ttaggg")
		return slicesOf(30+r.IntN(40), func(i int) string { return fmt.Sprintf("%d %s", i*60+1, strings.Repeat(unit, 60/len(unit))) })
	},
	"boxes of characters": func(r *rand.Rand) []string {
		columns := 2 + r.IntN(12)
		rule := "+" + strings.Repeat(strings.Repeat("-", 3+r.IntN(8))+"+", columns)
		return slicesOf(30+r.IntN(42), func(i int) string {
			if i%2 == 0 {
				return rule
			}
			return "|" + strings.Repeat("   |", columns)
		})
	},
	"ditto": func(r *rand.Rand) []string {
		mark := pick(r, `"`, "ditto", "do. do. do.", `" " "`, "id.")
		return slicesOf(40+r.IntN(32), func(i int) string {
			if i%20 == 0 {
				return words(r, 3)
			}
			return mark
		})
	},
}

func slicesOf(n int, f func(int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// words are made up: lower case, without those that a page of a kind repeats.
func words(r *rand.Rand, n int) string {
	out := make([]string, n)
	for i := range out {
		var b strings.Builder
		for range 1 + r.IntN(3) {
			b.WriteString(pick(r, "ba", "con", "der", "fi", "gar", "hol", "ing", "ka", "lu", "mer", "no", "pre", "qua", "ris", "sto", "tum", "ver", "wo", "xi", "zen"))
		}
		out[i] = b.String()
	}
	return strings.Join(out, " ")
}

// asJSON is how a model answers about a page: lines with their boxes. Compact as the small checkpoint does, or an object a line as
// the released ones do.
func asJSON(r *rand.Rand, lines []string, compact bool) string {
	top, left := 20+r.IntN(60), 20+r.IntN(200)
	step := (980 - top) / len(lines)
	entries := slicesOf(len(lines), func(i int) string {
		y := top + i*step
		box := []int{y, left + r.IntN(3), y + step*4/5, min(999, left+300+r.IntN(3))}
		if compact {
			return fmt.Sprintf(`{"box_2d":[%d,%d,%d,%d],"text":%q}`, box[0], box[1], box[2], box[3], lines[i])
		}
		return fmt.Sprintf(`  {"box_2d": [%d, %d, %d, %d], "text": %q}`, box[0], box[1], box[2], box[3], lines[i])
	})
	if compact {
		return "[" + strings.Join(entries, ",") + "]"
	}
	return "[\n" + strings.Join(entries, ",\n") + "\n]"
}
