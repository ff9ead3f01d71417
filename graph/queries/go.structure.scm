; Definitions, documentation, imports and the types of variables. Captures: see backstory/graph/parse.py.

(function_declaration name: (identifier) @name body: (_) @body) @function
(function_declaration name: (identifier) @name !body) @function
(method_declaration receiver: (parameter_list (parameter_declaration type: [
    (type_identifier) @owner
    (generic_type type: (type_identifier) @owner)
    (pointer_type (type_identifier) @owner)
    (pointer_type (generic_type type: (type_identifier) @owner))]))
  name: (field_identifier) @name body: (_)? @body) @function
(type_spec name: (type_identifier) @name) @class
(type_spec name: (type_identifier) @name type: (struct_type (field_declaration_list) @body)) @class
(type_spec name: (type_identifier) @name type: (interface_type "{" @body)) @class
(type_alias name: (type_identifier) @name) @class
(method_elem name: (field_identifier) @name) @function
(source_file (var_declaration (var_spec name: (identifier) @name value: (expression_list . (func_literal body: (_) @body) .)) @function))
(type_declaration . [(type_spec) (type_alias)] @wrapped .) @wrapper
(var_declaration . (var_spec) @wrapped .) @wrapper

((comment) @doc)

(package_clause (package_identifier) @package)

(import_spec !name path: (_ (_) @import.module)) @import
(import_spec name: (package_identifier) @import.alias path: (_ (_) @import.module)) @import
(import_spec name: (dot) @import.star path: (_ (_) @import.module)) @import
(import_spec name: (blank_identifier) path: (_ (_) @import.module)) @import

(method_declaration receiver: (parameter_list (parameter_declaration name: (identifier) @typed type: (_) @type)))
(parameter_declaration name: (identifier) @typed type: (_) @type)
(var_spec name: (identifier) @typed type: (_) @type)
(field_declaration name: (field_identifier) @typed.own type: (_) @type)
(field_declaration !name type: (type_identifier) @typed.own @type)
(field_declaration !name type: (qualified_type name: (type_identifier) @typed.own) @type)
(short_var_declaration left: (expression_list . (identifier) @typed) right: (expression_list . (composite_literal type: (_) @type)))
(short_var_declaration left: (expression_list . (identifier) @typed)
  right: (expression_list . (unary_expression operand: (composite_literal type: (_) @type))))
(short_var_declaration left: (expression_list . (identifier) @typed) right: (expression_list . (call_expression function: (_) @made)))
(short_var_declaration left: (expression_list . (identifier) @typed) right: (expression_list . (type_assertion_expression type: (_) @type)))
((short_var_declaration left: (expression_list . (identifier) @typed)
  right: (expression_list . (call_expression function: (identifier) @new arguments: (argument_list . (type_identifier) @type))))
  (#eq? @new "new"))
(var_spec name: (identifier) @typed !type value: (expression_list . (composite_literal type: (_) @type)))
(var_spec name: (identifier) @typed !type value: (expression_list . (unary_expression operand: (composite_literal type: (_) @type))))
(var_spec name: (identifier) @typed !type value: (expression_list . (call_expression function: (_) @made)))
(function_declaration name: (identifier) @returns result: (_) @type)
(function_declaration name: (identifier) @returns result: (parameter_list . (parameter_declaration type: (_) @type)))
(method_declaration name: (field_identifier) @returns result: (_) @type)
(method_declaration name: (field_identifier) @returns result: (parameter_list . (parameter_declaration type: (_) @type)))
(method_elem name: (field_identifier) @returns result: (_) @type)
(method_elem name: (field_identifier) @returns result: (parameter_list . (parameter_declaration type: (_) @type)))
