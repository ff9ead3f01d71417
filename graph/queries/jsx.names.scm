; A component used as an element is called by whoever renders it.
(jsx_opening_element name: (identifier) @call)
(jsx_opening_element name: (member_expression) @call.member)
(jsx_self_closing_element name: (identifier) @call)
(jsx_self_closing_element name: (member_expression) @call.member)
(jsx_closing_element name: (identifier) @skip)
