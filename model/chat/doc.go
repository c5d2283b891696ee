// Package chat turns conversations into the text that Gemma 4 was trained on,
// and the model's reply back into thinking, tool calls and text.
//
//	conversation ── Render ──► spans ── Encode ──► ids ──► model ──► ids ── Parser ──► Reply
//
// A [Span] is either one control token or a run of text. Only the template
// makes control spans, so nothing that a user, a file or a tool says can open
// a turn, end one or place an image, even if it spells <turn|> out.
//
// # The template
//
// Released checkpoints carry it as a Jinja program; this is what it does. ⏎ is
// a newline, <…> are control tokens, words in capitals stand for text.
//
//	<bos>
//	<|turn>system⏎<|think|>⏎ SYSTEM <|tool>…<tool|>… <turn|>⏎      if there is any of the three
//	<|turn>user⏎ CONTENT <turn|>⏎
//	<|turn>model⏎ THOUGHT CALLS RESPONSES CONTENT <turn|>⏎
//	<|turn>model⏎                                                   the prompt to answer
//
// In detail:
//
//   - Text is trimmed. An assistant's role is "model", and its text loses
//     <|channel>…<channel|> blocks that a caller left in. A system text given as
//     a list has a space after each part.
//   - Media is a placeholder in its place: <|image|>, <|audio|>, <|video|>. The
//     model package later makes it as many soft tokens as the media has.
//   - THOUGHT is <|channel>thought⏎ REASONING ⏎<channel|>, only after the last
//     user message, or with Options.PreserveThinking and tool calls.
//   - A call is <|tool_call>call:NAME{ARGUMENTS}<tool_call|>, a response is
//     <|tool_response>response:NAME{VALUES}<tool_response|>; a result that is not
//     an object is {value:RESULT}. Results follow their calls in the same turn.
//   - Consecutive assistant messages, also with tool messages between, are one
//     turn: no <turn|>⏎ after the first, no header before the second.
//   - Calls that wait for results end with <|tool_response>, which is also the
//     token at which the model stops to be given them. The model then goes on in
//     the same turn: nothing is added to prompt it, but <|channel>thought⏎ if it
//     is to think. In all other cases <|turn>model⏎ prompts it.
//   - [Large] checkpoints (12B, 26B-A4B, 31B) without thinking get an empty
//     thought after that, <|channel>thought⏎<channel|>, or they would think
//     unasked. [Small] ones (E2B, E4B) do not.
//
// # Values
//
// Arguments, results and declarations are written like JSON with bare keys,
// sorted without regard to case, and strings between <|"|> tokens without any
// escapes:
//
//	{city:<|"|>Paris<|"|>,days:2,flags:[true,null,1.5],o:{k:<|"|>v<|"|>}}
//
// A tool is declared in the system turn, its JSON schema in the same syntax
// with upper-case types:
//
//	<|tool>declaration:NAME{description:<|"|>D<|"|>,parameters:{properties:{
//	city:{description:<|"|>C<|"|>,type:<|"|>STRING<|"|>}},required:[<|"|>city<|"|>],
//	type:<|"|>OBJECT<|"|>}}<tool|>                                  (without the newlines)
//
// # Departures
//
// Where the Jinja program writes something malformed or drops input silently,
// this package does better or refuses:
//
//   - arguments given as a JSON string (OpenAI's way) are read and written as
//     the object they are;
//   - a type of ["string", "null"] is STRING with nullable:true; other unions
//     are an [UnsupportedError];
//   - a parameters object without a type is an OBJECT;
//   - a missing description is empty, also where it is null;
//   - a tool message that answers no call, media in the opening system message
//     and an unknown role are errors.
//
// The reference is fixtures/golden/text/chat.json.
package chat
