; References. A name captured as @skip is a binding or a label, not a use.

(call_expression function: (identifier) @call)
(call_expression function: (selector_expression) @call.member)
(call_expression function: (parenthesized_expression (selector_expression) @call.member))
(call_expression function: (index_expression operand: (identifier) @call))
(call_expression function: (index_expression operand: (selector_expression) @call.member))
(type_conversion_expression type: (generic_type type: (type_identifier) @call))
(type_conversion_expression type: (generic_type type: (qualified_type) @call.member))
(field_declaration !name type: [(type_identifier) (qualified_type) (generic_type)] @base)
(interface_type (type_elem . [(type_identifier) (qualified_type) (generic_type)] @base .))
(qualified_type) @use.member
(type_identifier) @use
(selector_expression) @member
(identifier) @name
(argument_list (identifier) @use)
(argument_list (selector_expression) @use.member)
(literal_element (identifier) @use)
(literal_element (selector_expression) @use.member)
(assignment_statement right: (expression_list (identifier) @use))

(type_spec name: (type_identifier) @skip)
(type_alias name: (type_identifier) @skip)
(type_parameter_declaration name: (identifier) @skip)
(function_declaration name: (identifier) @skip)
(parameter_declaration name: (identifier) @local)
(variadic_parameter_declaration name: (identifier) @local)
(var_spec name: (identifier) @local)
(const_spec name: (identifier) @skip)
(short_var_declaration left: (expression_list (identifier) @local))
(range_clause left: (expression_list (identifier) @local))
(keyed_element . key: (literal_element (identifier) @skip))
