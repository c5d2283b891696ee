package gguf

// dtype is one of ggml's tensor types: blocks of a number of values, each block a
// number of bytes.
type dtype struct {
	number        uint32
	name          string
	values, bytes int64 // of one block
}

// dtypes are the types by ggml's numbers (enum ggml_type), so that a file with any of
// them can be laid out and its tensors named. The numbers missing in between were
// given to types that ggml has removed.
var dtypes = []dtype{
	{0, "F32", 1, 4}, {1, "F16", 1, 2}, {30, "BF16", 1, 2}, {28, "F64", 1, 8},
	{24, "I8", 1, 1}, {25, "I16", 1, 2}, {26, "I32", 1, 4}, {27, "I64", 1, 8},

	// A float16 scale, and a float16 minimum in those that end in _1, then packed values.
	{2, "Q4_0", 32, 18}, {3, "Q4_1", 32, 20}, {6, "Q5_0", 32, 22}, {7, "Q5_1", 32, 24},
	{8, "Q8_0", 32, 34}, {9, "Q8_1", 32, 36},

	// Super-blocks with a scale for every 16 or 32 values.
	{10, "Q2_K", 256, 84}, {11, "Q3_K", 256, 110}, {12, "Q4_K", 256, 144},
	{13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210}, {15, "Q8_K", 256, 292},

	// Values from a codebook.
	{16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74}, {18, "IQ3_XXS", 256, 98},
	{19, "IQ1_S", 256, 50}, {20, "IQ4_NL", 32, 18}, {21, "IQ3_S", 256, 110},
	{22, "IQ2_S", 256, 82}, {23, "IQ4_XS", 256, 136}, {29, "IQ1_M", 256, 56},

	// Ternary values, and 4-bit floats with shared exponents.
	{34, "TQ1_0", 256, 54}, {35, "TQ2_0", 256, 66}, {39, "MXFP4", 32, 17}, {40, "NVFP4", 64, 36},
}

// dtypeOf returns the type with this number.
func dtypeOf(number uint32) (dtype, error) {
	for _, t := range dtypes {
		if t.number == number {
			return t, nil
		}
	}
	return dtype{}, unsupported("type %d is not known", number)
}

// dtypeNamed returns the type with this name.
func dtypeNamed(name string) (dtype, error) {
	for _, t := range dtypes {
		if t.name == name {
			return t, nil
		}
	}
	return dtype{}, unsupported("type %s is not known", quoted(name))
}

// kind is the kind of a metadata value.
type kind uint32

const (
	kindUint8 kind = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

var kinds = [...]struct {
	name string
	size uint64 // bytes of a value; 0 where they differ
}{
	kindUint8: {"u8", 1}, kindInt8: {"i8", 1}, kindUint16: {"u16", 2}, kindInt16: {"i16", 2},
	kindUint32: {"u32", 4}, kindInt32: {"i32", 4}, kindUint64: {"u64", 8}, kindInt64: {"i64", 8},
	kindFloat32: {"f32", 4}, kindFloat64: {"f64", 8}, kindBool: {"bool", 1},
	kindString: {"string", 0}, kindArray: {"array", 0},
}

func (k kind) known() bool    { return int(k) < len(kinds) }
func (k kind) String() string { return kinds[k].name }
