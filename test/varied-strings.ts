/** Texts of many kinds, pieces of which are put together to others. */
const PIECES = [
  "Call me Ishmael.",
  "  two  spaces   three",
  "tab\tand\nnewline\r\nand\n\n\nmore\n",
  "trailing spaces   ",
  "\n\n  indented\n    more\n",
  "1234567890",
  "3.14159 and 2,718,281 or 0x1F",
  "½ ² Ⅷ ٣٤٥ १२३",
  "don't you'll WE'VE I'd it's",
  "naïve café Ångström",
  "Ещё один пример текста.",
  "Ένα παράδειγμα κειμένου",
  "これは日本語の文章です。",
  "这是一个中文句子，带有标点。",
  "이것은 한국어 문장입니다.",
  "هذا نص عربي مع أرقام ١٢٣",
  "זהו טקסט בעברית",
  "यह एक हिंदी वाक्य है।",
  "นี่คือประโยคภาษาไทย",
  "Tiếng Việt có dấu",
  "😀 😃👍🏽 👨‍👩‍👧‍👦 🇩🇪",
  "∑∞√≠≤ → ← ⇒ € £ ¥",
  "function f(x) { return x * 2; } // code",
  'def main():\n    print(f"{x:>10}")\n',
  '<div class="a b">text</div>',
  "https://example.org/path?query=1&b=%20#frag",
  "SELECT * FROM t WHERE a <= 'b';",
  "snake_case camelCase SCREAMING_CASE kebab-case",
  "!!! ??? ... --- *** ///",
  "(){}[]<>|\\^~`@#$%&",
  "a",
  " ",
  "\u00a0non\u2003breaking\u200bzero",
  "\ufeffbom and \u0000 nul \u0007 bell",
  "𝒜𝓁𝓅𝒽𝒶 𐍈 𓀀",
  "e\u0301 combining a\u0308",
  "ALL CAPS AND MiXeD cAsE",
  "x=1;y=2;z=x+y",
];

/** 200 strings: each piece, and pairs of pieces side by side, with something or nothing between them. */
export const VARIED_STRINGS: readonly string[] = Array.from({ length: 200 }, (_, index) => {
  if (index < PIECES.length) return PIECES[index];
  const [first, second] = [PIECES[index % PIECES.length], PIECES[(index * 7 + 3) % PIECES.length]];
  return first + ["", " ", "\n", "  ", "-"][index % 5] + second;
});
